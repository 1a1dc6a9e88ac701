"""A report as a web page: one file that needs no network, readable without its script but for the charts."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from string import Template
from typing import TYPE_CHECKING, Any

from howfar.charts.page import asset, page_scripts, web_page
from howfar.reports.published import RUNS, published
from howfar.reports.tables import notes, readable

if TYPE_CHECKING:
    import polars as pl

    from howfar.reports.report import Report, Section

MOST_ROWS = 400  # of a table in the page

BESIDE = ("figure", "layer", *RUNS, "measured [low, high]")


def html(report: Report) -> str:
    """Give the page of a report."""
    charts: list[Any] = []
    parts = [_section(section, charts, len(report.models) > 1) for section in report.sections]
    contents = dict.fromkeys(section.measure.name for section in report.sections)
    body = Template(asset("howfar.reports", "report.html")).substitute(
        models=escape(", ".join(report.models)),
        version=escape(version("howfar")),
        source=escape(published()["source"]),
        contents="".join(f'<li><a href="#{name}">{name}</a></li>' for name in contents),
        sections="\n".join(parts),
    )
    styles = [asset("howfar.charts", name) for name in ("embed.css", "document.css")]
    styles.append(asset("howfar.reports", "report.css"))
    scripts = page_scripts({"charts": charts}, asset("howfar.reports", "report.js"))
    return web_page(f"How far apart: {', '.join(report.models)}", styles, body, scripts)


def _section(section: Section, charts: list[Any], several: bool) -> str:
    model = f" <small>{escape(section.model)}</small>" if several else ""
    parts = [f'<section id="{section.measure.name}"><h2>{escape(section.title)}{model}</h2>']
    parts.append(f"<p>{escape(section.measure.question)}</p>")
    if section.table is None:
        parts.append(f'<p class="missing">Not measured: {escape(section.missing)}.</p>')
    else:
        parts += _found(section, section.table, charts)
    return "\n".join([*parts, "</section>"])


def _found(section: Section, table: pl.DataFrame, charts: list[Any]) -> list[str]:
    parts = []
    headings, rows = readable(table, section.measure.columns, MOST_ROWS)
    if rows:
        picture = section.measure.draw(table)
        spec = picture.chart.to_dict()
        del spec["config"]
        charts.append(spec)
        parts.append(f'<div class="chart" role="img" aria-label="{escape(picture.description)}"></div>')
    if section.beside is not None:
        parts.append("<h3>Beside the published figures</h3>")
        parts.append(_table(*readable(section.beside, BESIDE, MOST_ROWS)))
    parts += [f'<p class="missing">{escape(note)}</p>' for note in notes(table)]
    if rows:
        more = f", the first {MOST_ROWS} of {len(table):,} rows" if len(table) > MOST_ROWS else ""
        parts.append(f"<details><summary>The numbers{more}</summary>{_table(headings, rows)}</details>")
    return parts


def _table(headings: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

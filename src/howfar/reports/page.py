"""A report as a web page: one file that needs no network; only its charts need a script."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from itertools import groupby
from string import Template
from typing import TYPE_CHECKING, Any

from howfar.charts.measured import draw
from howfar.charts.page import asset, page_scripts, web_page
from howfar.charts.text_tables import notes, readable
from howfar.errors import NotMeasurableError
from howfar.reports.published import RUNS, published

if TYPE_CHECKING:
    import polars as pl

    from howfar.reports.report import Report, Section

MOST_ROWS = 400  # rows of a table in the page

BESIDE = ("figure", "layer", *RUNS, "measured [low, high]")


def html(report: Report) -> str:
    """The page of a report."""
    charts: list[Any] = []
    asked = groupby(report.sections, key=lambda section: section.measure.name)
    parts = [_answers(list(sections), charts, len(report.models) > 1) for _, sections in asked]
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


def _answers(sections: list[Section], charts: list[Any], several: bool) -> str:
    """All results of one measure, below its question."""
    measure = sections[0].measure
    parts = [f'<section id="{measure.name}"><h2>{escape(measure.name)}</h2>', f"<p>{escape(measure.question)}</p>"]
    for section in sections:
        of = [part for part in (section.of, section.model if several or not measure.of_model else "") if part]
        parts += [f"<h3>{escape(', '.join(of))}</h3>"] if of else []
        if section.table is None:
            parts.append(f'<p class="missing">Not measured: {escape(section.missing)}.</p>')
        else:
            parts += _found(section, section.table, charts)
    return "\n".join([*parts, "</section>"])


def _found(section: Section, table: pl.DataFrame, charts: list[Any]) -> list[str]:
    parts = []
    headings, rows = readable(table, section.measure.columns, MOST_ROWS)
    try:
        picture = draw(section.measure, table)
    except NotMeasurableError as error:
        parts.append(f'<p class="missing">No chart: {escape(str(error))}.</p>')
    else:
        spec = picture.chart.to_dict()
        del spec["config"]
        charts.append(spec)
        parts.append(f'<div class="chart" role="img" aria-label="{escape(picture.description)}"></div>')
    parts.append(f'<p class="source">{escape(section.source)}</p>')
    if section.beside is not None:
        parts.append("<h4>Beside the published figures</h4>")
        parts.append(table_html(*readable(section.beside, BESIDE, MOST_ROWS)))
    parts += [f'<p class="missing">{escape(note)}</p>' for note in notes(table)]
    if rows:
        more = f", the first {MOST_ROWS} of {len(table):,} rows" if len(table) > MOST_ROWS else ""
        parts.append(f"<details><summary>The numbers{more}</summary>{table_html(headings, rows)}</details>")
    return parts


def table_html(headings: list[str], rows: list[list[str]]) -> str:
    """A table of a page."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

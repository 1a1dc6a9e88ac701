"""A report as a web page: one file that needs no network; only its charts need a script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from itertools import groupby
from string import Template
from typing import TYPE_CHECKING, Any

from howfar.charts.measured import draw
from howfar.charts.page import asset, page_scripts, web_page
from howfar.charts.picture import Picture
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
    return page_of(", ".join(report.models), body, charts)


def page_of(subject: str, body: str, charts: list[Any]) -> str:
    """A page about something, with the charts that `chart_html` collected."""
    styles = [asset("howfar.charts", name) for name in ("embed.css", "document.css")]
    styles.append(asset("howfar.reports", "report.css"))
    scripts = page_scripts({"charts": charts}, asset("howfar.reports", "report.js"))
    return web_page(f"How far apart: {subject}", styles, body, scripts)


def _answers(sections: list[Section], charts: list[Any], several: bool) -> str:
    """All results of one measure, below its question."""
    measure = sections[0].measure
    parts = [f'<section id="{measure.name}"><h2>{escape(measure.name)}</h2>', f"<p>{escape(measure.question)}</p>"]
    for section in sections:
        of = [part for part in (section.of, section.model if several or not measure.of_model else "") if part]
        parts += [f"<h3>{escape(', '.join(of))}</h3>"] if of else []
        if section.table is None:
            parts.append(missing_html(f"Not measured: {section.missing}."))
        else:
            parts += _found(section, section.table, charts)
    return "\n".join([*parts, "</section>"])


def _found(section: Section, table: pl.DataFrame, charts: list[Any]) -> list[str]:
    parts = []
    try:
        picture = draw(section.measure, table)
    except NotMeasurableError as error:
        parts.append(missing_html(f"No chart: {error}."))
    else:
        parts.append(chart_html(picture, charts))
    parts.append(f'<p class="source">{escape(section.source)}</p>')
    if section.beside is not None:
        parts.append("<h4>Beside the published figures</h4>")
        parts.append(table_html(section.beside, BESIDE))
    parts += map(missing_html, notes(table))
    if rows := table_html(table, section.measure.columns, MOST_ROWS):
        more = f", the first {MOST_ROWS} of {len(table):,} rows" if len(table) > MOST_ROWS else ""
        parts.append(f"<details><summary>The numbers{more}</summary>{rows}</details>")
    return parts


def chart_html(picture: Picture, charts: list[Any]) -> str:
    """A place for a chart, which is added to `charts` for the page's script to draw."""
    spec = picture.chart.to_dict()
    del spec["config"]
    charts.append(spec)
    return f'<div class="chart" role="img" aria-label="{escape(picture.description)}"></div>'


def missing_html(reason: str) -> str:
    """A paragraph that says what is missing, and why."""
    return f'<p class="missing">{escape(reason)}</p>'


def table_html(table: pl.DataFrame, columns: Sequence[str], most_rows: int | None = None) -> str:
    """A table with columns as `Measure.columns` has them, or its first rows; empty without rows."""
    headings, rows = readable(table, columns, most_rows or len(table))
    if not rows:
        return ""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

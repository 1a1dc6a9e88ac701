"""A report as a web page: one file that needs no network; only its charts need a script."""

from __future__ import annotations

from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

from howfar.charts.assets import asset, render
from howfar.charts.measured import draw
from howfar.charts.page import page_scripts, web_page
from howfar.charts.picture import Picture
from howfar.charts.text_tables import notes, readable
from howfar.errors import NotMeasurableError
from howfar.reports.published import RUNS, published

if TYPE_CHECKING:
    from howfar.reports.report import Report, Section

MOST_ROWS = 400  # rows of a table in the page

BESIDE = ("figure", "layer", *RUNS, "measured [low, high]")


class Page:
    """A page that is made from a template of this folder, and the charts in it."""

    def __init__(self) -> None:
        self._charts: list[Any] = []

    def place(self, picture: Picture) -> str:
        """Add a chart, for the next place in the page; its description, for the template."""
        spec = picture.chart.to_dict()
        del spec["config"]  # the page's own theme decides
        self._charts.append(spec)
        return picture.description

    def html(self, subject: str, template: str, *, style: str = "", **values: Any) -> str:
        """The whole page, with this package's version besides the template's values, and with one more style sheet."""
        body = render(f"reports/{template}", version=version("howfar"), **values)
        styles = [asset(path) for path in ("charts/document.css", "reports/report.css")]
        styles.append(style)
        scripts = page_scripts({"charts": self._charts}, asset("reports/report.js"))
        return web_page(f"How far apart: {subject}", styles, body, scripts)


def html(report: Report) -> str:
    """The page of a report."""
    page, several = Page(), len(report.models) > 1
    asked = [
        (sections[0].measure, [_told(section, page, several) for section in sections])
        for _, own in groupby(report.sections, key=lambda section: section.measure.name)
        for sections in (list(own),)
    ]
    values = {"models": report.models, "asked": asked, "source": published()["source"]}
    return page.html(", ".join(report.models), "report.html", **values)


def _told(section: Section, page: Page, several: bool) -> dict[str, Any]:
    """What the template says about a section; the model is named if there are several."""
    measure, table = section.measure, section.table
    of = (section.of, section.model if several or not measure.of_model else "")
    told: dict[str, Any] = {"heading": ", ".join(part for part in of if part), "missing": section.missing}
    if table is None:
        return told
    try:
        told["chart"] = page.place(draw(measure, table))
    except NotMeasurableError as error:
        told["no_chart"] = str(error)
    return told | {
        "source": section.source,
        "beside": section.beside is not None and readable(section.beside, BESIDE, MOST_ROWS),
        "notes": notes(table),
        "numbers": readable(table, measure.columns, MOST_ROWS),
        "more": f", the first {MOST_ROWS} of {len(table):,} rows" if len(table) > MOST_ROWS else "",
    }

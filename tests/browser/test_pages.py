"""Pages of charts on a phone and on a desk, in the light and in the dark."""

import pytest

from howfar.charts.measures.interventions import draw_interventions
from howfar.charts.theme import COLOURS
from howfar.measures.inputs import Inputs
from howfar.measures.interventions import interventions
from howfar.reports.report import report

TEXTS = [f"The keeper of light {number} saw {number * 7} ships, and slept." for number in range(12)]
PHONE, DESK = {"width": 375, "height": 700}, {"width": 1280, "height": 800}


@pytest.fixture
def open_page(chromium):
    """Opens a file, and afterwards checks that nothing went wrong in it."""
    contexts, errors = [], []

    def open_page(path, **options):
        contexts.append(chromium.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type != "log" else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def widths(page, num_charts):
    """Of the window, of what is in it, and of each chart, once they are as they are to be."""
    page.wait_for_function(f"document.querySelectorAll('svg').length === {num_charts}")
    page.wait_for_timeout(1000)  # a chart that is too wide is drawn again
    return page.evaluate(
        """() => [innerWidth, document.documentElement.scrollWidth,
                  ...[...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().width)]"""
    )


def test_panels_stand_below_each_other_on_a_phone(model, open_page, tmp_path):
    table = interventions(model, TEXTS, kinds=["set to one", "set to mean"])
    draw_interventions(table).save(tmp_path / "page.html")
    page = open_page(tmp_path / "page.html", viewport=PHONE)
    window, scrolled, chart = widths(page, 1)
    assert max(scrolled, chart) <= window
    names = [page.get_by_text(name, exact=True).bounding_box() for name in ("set to one", "set to mean")]
    assert names[0]["y"] < names[1]["y"]
    page.set_viewport_size(DESK)
    window, scrolled, chart = widths(page, 1)
    assert PHONE["width"] < chart <= scrolled <= window
    names = [page.get_by_text(name, exact=True).bounding_box() for name in ("set to one", "set to mean")]
    assert names[0]["y"] == names[1]["y"]


def test_a_report_fits_a_phone_and_follows_the_readers_theme(model_folders, open_page, tmp_path):
    found = report(model_folders[:1], Inputs(texts=TEXTS), measures=["increments", "vocabulary"])
    found.save(tmp_path / "report.html")
    page = open_page(tmp_path / "report.html", viewport=PHONE, color_scheme="dark")
    window, scrolled, *charts = widths(page, 2)
    assert max(scrolled, *charts) <= window
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        background = COLOURS[theme]["background"]
        page.wait_for_function(
            """colour => [...document.querySelectorAll("svg")].every(svg => svg.style.backgroundColor === colour)""",
            arg=f"rgb({', '.join(str(int(background[place : place + 2], 16)) for place in (1, 3, 5))})",
        )

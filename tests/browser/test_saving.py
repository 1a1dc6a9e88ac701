"""What a visitor takes home."""

import io

import polars as pl
import pytest

import howfar

VIEWS = {
    "what-if": ("spacing", "predictions", "losses", "gaps"),
    "attention": ("attention", "attention-by-distance"),
    "context": ("context",),
}


@pytest.mark.parametrize("view", VIEWS)
def test_saved_pictures_open_without_a_network(visit, chromium, tmp_path, view):
    page = visit({"text": "save é", "slot": 2, "edits": {"all:2": 3}, "panel": {"name": view}})
    with chromium.new_context(offline=True) as context:
        for name in VIEWS[view]:
            png = page.save(f"{name}-tiny", "PNG", tmp_path)
            assert png.read_bytes().startswith(b"\x89PNG")
            for kind in ("SVG", "HTML"):
                saved = page.save(f"{name}-tiny", kind, tmp_path)
                assert saved.name == f"{name}-tiny.{kind.lower()}"
                opened, errors = context.new_page(), []
                opened.on("pageerror", lambda error: errors.append(str(error)))  # noqa: B023
                opened.goto(saved.as_uri())
                opened.locator("svg text").filter(visible=True).first.wait_for()
                assert errors == []
                opened.close()


def test_saved_numbers_are_those_of_the_command_line_to_the_last_digit(visit, model, tmp_path):
    text = "Ada wrote 图书馆 in 1843."
    page = visit({"text": text, "slot": 0, "panel": {"name": "numbers"}})
    expected = howfar.trace(model, text).table()
    for kind, read in (("CSV", pl.read_csv), ("PARQUET", pl.read_parquet)):
        got = read(io.BytesIO(page.save("numbers-tiny", kind, tmp_path).read_bytes()))
        assert got.columns == expected.columns
        for column in ("layer", "token_id", "increment", "position", "surprisal_nats", "entropy_nats"):
            assert got[column].cast(expected[column].dtype).to_list() == expected[column].to_list()


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "picture.html"
    howfar.spacing(howfar.trace(model, "A picture to keep, with 图书馆 in it. " * 3)).save(path)
    return path.as_uri()


def open_saved(chromium, address, **options):
    context = chromium.new_context(offline=True, **options)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("[data-revision]")
    return page


def test_a_saved_page_fits_a_phone(chromium, saved):
    page = open_saved(chromium, saved, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    panel = page.locator(".panel").first.bounding_box()
    page.touchscreen.tap(panel["x"] + 30, panel["y"] + 40)
    page.wait_for_selector(".readout b")
    assert page.inner_text(".readout b") in "A␣picture"
    page.context.close()


def test_a_saved_page_answers_to_the_keyboard_and_says_what_it_shows(chromium, saved):
    page = open_saved(chromium, saved)
    for _ in range(4):  # scale, colour, rows, picture
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "picture"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.inner_text(".readout b") == "p"
    assert page.get_attribute(".readout", "aria-live") == "polite"
    assert page.locator(".marks rect").count() == 4  # in each row
    page.keyboard.press("Escape")
    assert page.inner_text(".readout") == ""
    assert page.text_content("h1") == "How tiny spaces this text"
    assert "layer 2" in page.get_attribute(".picture", "aria-label")
    page.get_by_text("All numbers as a table").click()
    page.wait_for_selector("tbody tr")
    assert page.locator("tbody tr").count() == 3 * len("A picture to keep, with 图书馆 in it. ")
    page.context.close()


def test_a_saved_page_is_dark_where_the_reader_wants_it(chromium, saved):
    page = open_saved(chromium, saved, color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(20, 24, 29)"
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{colour} === 'rgb(255, 255, 255)'")
    page.context.close()

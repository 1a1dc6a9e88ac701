import io
from pathlib import Path

import polars as pl
import pytest

import howfar


def test_the_page_opens_with_its_picture(visit):
    page = visit()
    assert "How far apart" in page.page.inner_text("h1")
    assert "layer 2" in page.picture.inner_text()
    assert "character 1 of" in page.selection


def test_without_the_token_nothing_is_shown(chromium, server):
    page = chromium.new_page()
    page.goto(server[1].split("?")[0])
    page.wait_for_load_state("networkidle")
    assert "/auth/login" in page.url
    assert page.locator("textarea").count() == 0
    page.close()


def test_typing_changes_the_picture(visit):
    page = visit()
    page.type_text("Zebra")
    assert "Z" in page.picture.inner_text()
    page.until(lambda: "of 5" in page.selection)
    page.page.locator("textarea").first.press("End")
    before = page.revision()
    page.page.keyboard.type("图!")
    page.until(lambda: page.revision() > before and "of 7" in page.selection)
    assert "图" in page.picture.inner_text()


def test_click_and_keyboard_select(visit):
    page = visit("&text=abcdefgh")
    page.page.locator(".howfar-live text", has_text="e").first.click(force=True)
    page.until(lambda: "character 5 of 8" in page.selection)
    page.picture.focus()
    page.page.keyboard.press("ArrowRight")
    page.until(lambda: "character 6 of 8" in page.selection)
    page.page.get_by_role("button", name="←").click()
    page.until(lambda: "character 5 of 8" in page.selection)


def test_what_if_changes_the_prediction_and_resets_exactly(visit):
    page = visit("&text=abcdefghij&at=3")
    said = page.page.locator(".said").first
    page.until(lambda: "+0.0000" in said.inner_text())
    unchanged = said.inner_text()
    slider = page.page.get_by_role("slider").first
    for _ in range(4):
        slider.press("ArrowRight")
    page.until(lambda: "+0.0000" not in said.inner_text())
    page.page.get_by_role("button", name="Reset").click()
    page.until(lambda: said.inner_text() == unchanged)


def test_every_view_shows_something(visit):
    page = visit("&text=" + "两个字 and more")
    for name, sign in (
        ("Attention", "Weight against distance"),
        ("Numbers", "surprisal_nats"),
        ("Context", "percentile"),
    ):
        page.show(name)
        page.page.wait_for_selector(f"text={sign}")
    page.show("What if")
    page.page.wait_for_selector("text=What comes next")


def test_two_models_stand_side_by_side(visit):
    page = visit("&model=tiny&model=other&text=side by side")
    page.until(lambda: page.page.locator(".howfar-live[data-revision]").count() == 2)
    first, second = (page.page.locator(".howfar-live").nth(number) for number in range(2))
    assert first.inner_text() != second.inner_text()


def test_a_link_restores_all(visit):
    page = visit("&text=Ada 图书馆 <b>&at=4&scale=raw&colour=surprisal&detail=Attention&layer=1&factor=2.0")
    page.page.wait_for_selector("text=Layer 1, head by head")
    link = page.page.locator("#link").get_attribute("href")
    other = visit("&" + link.removeprefix("?"))
    other.page.wait_for_selector("text=Layer 1, head by head")
    assert other.selection == page.selection
    assert other.page.locator("textarea").first.input_value() == "Ada 图书馆 <b>"
    assert other.page.locator("#link").get_attribute("href") == link


@pytest.mark.parametrize("kind", ["HTML", "SVG", "PNG"])
def test_saved_pictures_open_without_a_network(visit, chromium, tmp_path, kind):
    page = visit("&text=save me")
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name=kind).last.click()
    path = tmp_path / f"picture.{kind.lower()}"
    download.value.save_as(path)
    if kind == "PNG":
        assert path.read_bytes().startswith(b"\x89PNG")
        return
    context = chromium.new_context(offline=True)
    opened = context.new_page()
    errors = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(path.as_uri())
    opened.wait_for_selector("svg")
    assert "layer 1" in opened.locator("svg").first.text_content()
    assert errors == []
    context.close()


def test_saved_numbers_are_those_of_the_command_line_to_the_last_digit(visit, model_folders, tmp_path):
    text = "Ada wrote 图书馆 in 1843."
    page = visit(f"&text={text}&detail=Numbers")
    page.page.wait_for_selector("text=surprisal_nats")
    expected = howfar.trace(howfar.load(model_folders[0]), text).table()
    for kind, read in (("CSV", pl.read_csv), ("PARQUET", pl.read_parquet)):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=kind).first.click()
        download.value.save_as(tmp_path / kind)
        got = read(io.BytesIO(Path(tmp_path / kind).read_bytes()))
        for column in ("layer", "token_id", "increment", "position", "surprisal_nats", "entropy_nats"):
            assert got[column].cast(expected[column].dtype).to_list() == expected[column].to_list()


HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe> [x](javascript:hacked=1) {{ 7 * 7 }} $x^2$",
    "👩‍👩‍👧‍👦🏳️‍🌈 é שלום עולם \u202egnp.exe\u202c مرحبا \u0000\u0007",
    "datum.x + width'); window.hacked = 1; ('",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(visit, text):
    page = visit()
    page.type_text(text)
    for name in ("Attention", "Context", "Numbers", "What if"):
        page.show(name)
        page.page.wait_for_timeout(500)
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("iframe[srcdoc]").count() == 0


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("&model=/etc/passwd", "this page shows one or two of tiny, other"),
        ("&scale=<script>window.hacked=1</script>", "it must be one of layer-mean, raw, shared"),
        ("&at=-5", "it must be a number from 0 to"),
    ],
)
def test_a_forged_link_is_refused_with_a_sentence(visit, query, sentence):
    page = visit(query)
    assert sentence in page.page.locator("[role=alert]").first.inner_text()
    assert page.page.evaluate("window.hacked") is None


def test_five_megabytes_are_refused_with_a_sentence_and_the_page_goes_on(visit):
    page = visit()
    page.page.locator("textarea").first.fill("x" * 5_000_000)
    page.page.wait_for_selector("text=The text has 5,000,000 characters")
    page.page.locator("textarea").first.fill("short again")
    page.until(lambda: "of 11" in page.selection)


def test_a_long_text_scrolls(visit):
    page = visit()
    page.type_text("A long text, word by word. " * 741)
    page.until(lambda: "of 20,007" in page.selection)
    page.picture.evaluate("picture => picture.scrollTop = picture.scrollHeight")
    page.until(lambda: page.picture.locator("> div").last.locator("svg").count() == 1)


def test_twenty_visitors_type_at_once(visit, server):
    visitors = [visit() for _ in range(20)]
    for word in ("one ", "two ", "three"):
        for number, visitor in enumerate(visitors):
            visitor.page.locator("textarea").first.press("End")
            visitor.page.keyboard.type(f"{word}{'x' * number}")
    for visitor in visitors:
        text = visitor.page.locator("textarea").first.input_value()
        visitor.until(lambda: f"of {len(text)}" in visitor.selection, "an update was lost")  # noqa: B023
    resident = int(Path(f"/proc/{server[0].pid}/statm").read_text().split()[1]) * 4096
    assert resident < 3e9

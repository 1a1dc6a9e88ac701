"""What a visitor does and sees."""

import pytest

import howfar


def test_the_page_opens_with_its_picture_and_says_how_to_read_it(visit):
    page = visit()
    assert "How far apart" in page.page.inner_text("h1")
    assert "learned how far to step" in page.page.inner_text("p.lead")
    assert "layer 2" in page.description
    assert "character 28 of 102" in page.selection
    page.until(lambda: page.page.locator(".ghost").count() > 0, "nothing is moved")
    page.page.get_by_text("New here?").click()
    page.sees("Do not conclude")


@pytest.mark.parametrize("query", ["", "?access_token=wrong"])
def test_without_the_token_nothing_is_shown(chromium, server, query):
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(server[1].split("?")[0] + query)
        page.wait_for_selector("input[type=password]")
        assert "/auth/login" in page.url
        assert page.locator("textarea").count() == 0


def test_typing_changes_the_picture(explorer):
    page = explorer
    page.type_text("Zebra")
    assert "“Zebra”" in page.description
    page.until(lambda: "character 5 of 5" in page.selection)
    before = page.pixels()
    page.text.press("End")
    page.page.keyboard.type("图!")
    page.until(lambda: "“Zebra图!”" in page.description and "of 7" in page.selection)
    page.until(lambda: page.pixels() != before)


def test_of_several_quick_keys_the_last_one_is_drawn(explorer):
    page = explorer
    page.type_text("Quick")
    page.text.press("End")
    page.page.keyboard.type(" keys, typed at once 图", delay=15)
    page.until(lambda: "“Quick keys, typed at once 图”" in page.description)
    page.until(lambda: "of 27" in page.selection)
    assert "“Quick keys, typed at once 图”" in page.description


def test_a_typed_text_is_drawn_before_the_cells_have_run(visit):
    page = visit("&text=before the cells")
    held = []
    page.page.route("**/set_ui_element_value", lambda route: held.append(route))
    page.text.press("End")
    page.page.keyboard.type("!")
    page.until(lambda: "“before the cells!”" in page.description)
    page.until(lambda: held, "the cells are not told")
    assert "of 16" in page.selection
    page.page.unroute("**/set_ui_element_value")  # lets go what it held
    page.until(lambda: "of 17" in page.selection)


def test_examples_replace_the_text(explorer):
    page = explorer
    page.page.get_by_role("button", name="Chinese").click()
    page.until(lambda: "清晨的北京" in page.description)
    assert page.text.input_value().startswith("清晨的北京")
    page.page.get_by_role("button", name="Table").click()
    page.until(lambda: "Danube" in page.text.input_value() and "people" in page.description)


def test_scales_and_colours_change_the_picture(visit):
    page = visit("&text=scales and colours")
    seen = {page.pixels()}
    for label, choices in (("Scale", ("raw", "shared", "contrast")), ("Colour by", ("rank", "surprisal", "entropy"))):
        for choice in choices:
            page.page.get_by_label(label, exact=True).select_option(choice)
            if label == "Scale":
                page.until(lambda: f"Scale {choice}:" in page.description)  # noqa: B023
            page.until(lambda: page.pixels() not in seen)
            page.page.wait_for_timeout(500)  # a frame in between looks like none of them
            seen.add(page.pixels())
    assert len(seen) == 7


def test_click_keys_and_buttons_select(explorer, model):
    text, page = "abcdefgh", explorer
    page.type_text(text)
    page.click_cell(howfar.trace(model, text), row=2, cell=4)
    page.until(lambda: "character 5 of 8" in page.selection)
    page.picture.focus()
    page.page.keyboard.press("ArrowRight")
    page.until(lambda: "character 6 of 8" in page.selection)
    page.page.get_by_role("button", name="←").click()
    page.until(lambda: "character 5 of 8" in page.selection)
    page.page.get_by_role("button", name="←").click()
    page.until(lambda: "character 4 of 8" in page.selection)
    page.page.get_by_role("button", name="→").click()
    page.until(lambda: "character 5 of 8" in page.selection)
    page.picture.focus()
    page.page.keyboard.press("End")
    page.until(lambda: "character 8 of 8" in page.selection)


def test_one_selection_links_all_views(visit, model):
    text = "abcdefgh"
    page = visit(f"&text={text}&at=1")
    page.sees("What the model expects after b")
    page.click_cell(howfar.trace(model, text), row=0, cell=4)
    page.sees("What the model expects after e")
    page.show("Attention", "What e attends to: all layers")
    page.sees("Weight by distance")
    page.page.get_by_label("Layer", exact=True).select_option("layer 1")
    page.sees("What e attends to: layer 1, head by head")
    page.show("Context", "The step to e among the steps to others")
    assert page.page.locator("table.howfar tbody tr").count() == 3
    page.show("Numbers", "24 rows, 10 columns")
    page.page.get_by_role("switch").click()
    page.sees("3 rows, 10 columns")
    page.page.get_by_role("button", name="→").click()
    page.page.get_by_text("102", exact=True).filter(visible=True).first.wait_for()  # the byte f


def test_what_if_changes_the_prediction_and_resets_exactly(visit):
    page = visit("&text=abcdefghij&at=3")
    said, chart = page.page.locator(".said").first, page.page.locator(".vega-embed svg")
    page.until(lambda: "Nothing has changed yet" in said.inner_text() and chart.count() == 1)
    unchanged, bars = said.inner_text(), _bars(page)
    assert page.page.locator("#loss-change").count() == 0
    page.page.get_by_role("slider").last.press("End")
    page.until(lambda: chart.count() == 3 and "Likeliest next" in said.inner_text())
    assert float(page.page.inner_text("#loss-change")) > 0
    page.until(lambda: _bars(page) != bars, "the prediction is as it was")
    page.page.get_by_role("button", name="Reset").click()
    page.until(lambda: said.inner_text() == unchanged and chart.count() == 1)
    page.until(lambda: _bars(page) == bars, "the prediction is not what it was")
    page.page.get_by_role("switch").click()
    page.until(lambda: chart.count() == 3 and page.page.locator("#loss-change").count() == 1)


def test_a_dragged_gap_leaves_a_ghost_and_the_page_follows(visit, model):
    text = "abcdefgh"
    page = visit(f"&text={text}&at=1")
    page.drag_cell(howfar.trace(model, text), row=2, cell=4, by=60)
    page.until(lambda: page.page.locator(".ghost").count() > 0)
    page.until(lambda: "to predict" in page.page.inner_text(".effect"))
    assert page.page.locator(".losses rect").count() == 3  # f, g and h
    assert page.page.input_value(".beside .layer") == "1"
    factor = float(page.page.inner_text(".said-factor"))
    assert factor > 1
    link = page.page.locator("#link")
    page.until(lambda: f"factor={factor}" in link.get_attribute("href"), "the page does not follow")
    assert "at=4" in link.get_attribute("href")
    assert "layer=1" in link.get_attribute("href")
    page.page.locator(".beside .reset").click()
    page.until(lambda: page.page.locator(".ghost").count() == 0)
    page.until(lambda: "factor" not in link.get_attribute("href"))


@pytest.mark.parametrize(
    "clock", ["", "const begun = Date.now(); Date.now = () => begun;"], ids=["", "in one millisecond"]
)
def test_keys_move_a_gap_in_all_layers(visit, clock):
    page = visit("&text=abcdefgh&at=2", script=clock)
    page.picture.focus()
    for key in ("ArrowUp", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.page.keyboard.press(key)
    assert page.page.input_value(".beside .layer") == "all"
    page.until(lambda: page.page.locator(".expected tbody td:last-child").first.inner_text() != "")
    assert page.page.inner_text(".said-factor") == "1.5"
    page.until(lambda: "factor=1.5" in page.page.locator("#link").get_attribute("href"))


def test_the_model_writes_on_and_its_words_are_taken_back(visit):
    page = visit("&text=abcdefgh&at=2")
    page.page.locator(".write").click()
    page.until(lambda: "“abcx" in page.description)
    page.page.locator(".write").click()
    page.until(lambda: page.text.input_value() != "abcdefgh")
    written = page.text.input_value()
    assert written == "abc" + "x" * (len(written) - 3)
    page.page.locator(".take-back").click()
    page.until(lambda: page.text.input_value() == "abcdefgh")


def _bars(page):
    """The bars of the first chart below the picture, to the last digit that it draws."""
    paths = page.page.locator(".vega-embed svg").first.locator(".mark-rect path")
    return paths.evaluate_all("paths => paths.map(path => path.getAttribute('aria-label'))")


def test_two_models_stand_side_by_side(visit):
    page = visit("&model=tiny&beside=other&text=side by side")
    pictures = page.page.locator(".howfar-live[data-revision]")
    page.until(lambda: pictures.count() == 2)
    first, second = (pictures.nth(number) for number in range(2))
    assert "How tiny spaces this text" in first.get_attribute("aria-label")
    assert "How other spaces this text" in second.get_attribute("aria-label")
    boxes = [picture.bounding_box() for picture in (first, second)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[1]["x"] + boxes[1]["width"] <= 1280
    for heading in ("What the model expects after it", "What the model expects after e"):
        headings = page.page.get_by_role("heading", name=heading, exact=True).filter(visible=True)
        page.until(lambda shown=headings: shown.count() == 2, heading)


def test_two_texts_stand_side_by_side(visit):
    page = visit("&model=tiny&text=one&second_text=another text&at=9")
    pictures = page.page.locator(".howfar-live[data-revision]")
    page.until(lambda: pictures.count() == 2)
    page.until(lambda: "another text" in pictures.nth(1).get_attribute("aria-label"))
    said = page.page.locator(".selection").all_inner_texts()
    assert ["first text · character 3 of 3" in said[0], "second text · character 10 of 12" in said[1]] == [True, True]
    page.sees("second text.")
    assert "second_text=another+text" in page.page.locator("#link").get_attribute("href")
    page.page.get_by_role("textbox", name="Second text").fill("")
    page.until(lambda: page.page.locator(".selection").count() == 1)
    page.page.get_by_role("textbox", name="Second text").fill("twice")
    page.until(lambda: page.page.locator(".selection").count() == 2)


def test_two_models_and_two_texts_are_refused(visit):
    page = visit("&model=tiny&beside=other&text=one&second_text=two", wait=False)
    page.sees("two models and two texts are four pictures; choose one model, or remove the second text")


def test_a_link_restores_all(visit):
    page = visit("&text=Ada 图书馆 <b>&at=4&scale=raw&colour=surprisal&detail=Attention&layer=1&factor=2.0")
    page.sees("layer 1, head by head")
    link = page.page.locator("#link").get_attribute("href")
    for said in ("at=4", "scale=raw", "colour=surprisal", "detail=Attention", "layer=1", "factor=2.0", "model=tiny"):
        assert said in link
    other = visit("&" + link.removeprefix("?"))
    other.page.wait_for_selector("text=layer 1, head by head")
    assert other.selection == page.selection
    assert other.text.input_value() == "Ada 图书馆 <b>"
    assert other.description == page.description
    assert "Scale raw:" in other.description
    assert other.page.locator("#link").get_attribute("href") == link


def test_the_page_follows_a_dark_system(visit):
    page = visit("&text=night", color_scheme="dark")
    label = page.page.locator(".vega-embed svg text", has_text="probability").first
    page.until(lambda: label.get_attribute("fill") == "#9aa4b0", "the charts stay light")
    light = page.pixels()
    page.page.emulate_media(color_scheme="light")
    page.until(lambda: label.get_attribute("fill") == "#5f6873", "the charts stay dark")
    page.until(lambda: page.pixels() != light, "the picture stays dark")


def test_a_long_text_scrolls(explorer):
    page = explorer
    page.type_text("A long text, word by word. " * 741)
    page.until(lambda: "of 20,007" in page.selection)
    page.picture.evaluate(
        "picture => { picture.scrollTop = picture.scrollHeight; picture.scrollIntoView({ block: 'end' }); }"
    )
    page.until(lambda: page.picture.locator("> svg").last.locator(".row").count() > 0)

"""What a visitor does and sees."""

import json
import re

import polars as pl
import pytest

import howfar
from browser.visiting import linked


def test_the_page_opens_with_its_picture_and_says_how_to_read_it(visit):
    page = visit()
    assert "How far apart" in page.page.inner_text("h1")
    page.sees("learned how far to step")
    page.sees("One step is changed: the step to “A” (character 28) is multiplied by 4 in all layers.")
    assert "layer 2" in page.description
    assert "character 28 of 102" in page.selection
    page.until(lambda: page.page.locator(".ghost").count() > 0, "nothing is moved")
    page.page.get_by_text("New here?").click()
    page.sees("Do not conclude")


def test_an_example_selects_the_token_in_which_its_character_lies(visit):
    page = visit(wait=False)

    def in_fours(route):
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"ends": list(range(4, 104, 4))})

    page.page.route("**/read", in_fours)
    page.page.reload()  # it opens with the 28th character, which is the last of the seventh four
    page.until(lambda: "character 7 of 102" in page.selection)
    assert page.page.evaluate("[state.slot, state.edits, 'character' in state]") == [6, {"all:6": 4}, False]
    page.page.select_option("#example", "1")
    page.until(lambda: page.page.evaluate("Object.keys(state.edits)[0]") == "all:4")
    assert page.page.evaluate("state.character = 9, placeExample([4, 8]), [state.slot, state.edits]") == [None, {}]


@pytest.mark.parametrize("query", ["", "?access_token=wrong"])
def test_without_the_token_nothing_is_shown(chromium, server, query):
    address, token = server[1].split("?access_token=")
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(address + query + linked({"text": "behind the token"}))
        page.wait_for_selector("input[type=password]")
        assert page.locator("textarea").count() == 0
        for route in ("folder.json", "read", "panel", "save"):
            method = "get" if route.endswith("json") else "post"
            assert getattr(page.request, method)(address + route).status == 401
        page.fill("input[type=password]", token)
        page.get_by_role("button").click()
        page.wait_for_selector("html[data-revision]")
        assert page.input_value("#text") == "behind the token"
        assert token not in page.url


def test_typing_changes_the_picture(explorer):
    page = explorer
    page.page.evaluate("state.slot = 99")
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
    page.page.wait_for_timeout(500)
    assert "“Quick keys, typed at once 图”" in page.description


def test_one_text_is_asked_for_at_a_time_and_then_the_latest(visit):
    page = visit({"text": "", "slot": 0}, wait=False)
    page.sees("The text is empty")
    held, asked = [], []

    def hold(route):
        asked.append(route.request.post_data_json["text"])
        held.append(route) if len(asked) == 1 else route.continue_()

    page.page.route("**/read", hold)
    page.text.press_sequentially("abcd")
    assert asked == ["a"]
    held[0].continue_()
    page.until(lambda: page.description and "“abcd”" in page.description)
    page.text.press_sequentially("e")
    page.until(lambda: "“abcde”" in page.description)
    assert asked == ["a", "abcd", "abcde"]


def test_a_typed_text_is_drawn_before_anything_else_is_asked_for(visit):
    page = visit({"text": "before the panels", "slot": 3})
    held = []
    for route in ("expect", "panel"):
        page.page.route(f"**/{route}", lambda route: held.append(route))
    page.text.press("End")
    page.page.keyboard.type("!")
    page.until(lambda: "“before the panels!”" in page.description)
    page.until(lambda: len(held) == 2, "nothing else is asked for")
    assert "of 18" in page.selection
    for route in held:
        route.continue_()


def test_examples_replace_the_text_and_open_with_a_change(explorer):
    page = explorer
    page.page.get_by_label("Example").select_option(label="Chinese")
    page.until(lambda: "清晨的北京" in page.description)
    assert page.text.input_value().startswith("清晨的北京")
    page.until(lambda: "character 19 of 32" in page.selection)
    page.until(lambda: page.page.locator(".ghost").count() > 0, "nothing is moved")
    page.page.get_by_label("Example").select_option(label="Table")
    page.until(lambda: "Danube" in page.text.input_value() and "people" in page.description)


def test_scales_and_colours_change_the_picture(visit):
    page = visit({"text": "scales and colours"})
    seen = {page.pixels()}
    for label, choices in (("Scale", ("raw", "shared", "contrast")), ("Colour", ("rank", "surprisal", "entropy"))):
        for choice in choices:
            page.page.locator(".controls").get_by_label(label).select_option(choice)
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
    page.page.get_by_role("button", name="Previous character").click()
    page.until(lambda: "character 5 of 8" in page.selection)
    page.page.get_by_role("button", name="Previous character").click()
    page.until(lambda: "character 4 of 8" in page.selection)
    page.page.get_by_role("button", name="Next character").click()
    page.until(lambda: "character 5 of 8" in page.selection)
    page.picture.focus()
    page.page.keyboard.press("End")
    page.until(lambda: "character 8 of 8" in page.selection)


def test_one_selection_links_all_views(visit, model):
    text = "abcdefgh"
    page = visit({"text": text, "slot": 1})
    page.heading("What the model expects after b")
    page.click_cell(howfar.trace(model, text), row=0, cell=4)
    page.heading("What the model expects after e")
    page.sees("What if “e” stood closer")
    page.show("Attention", "Weight by distance")
    page.heading("What e attends to: all layers")
    page.page.locator("#settings").get_by_label("Layer").select_option("layer 1")
    page.heading("What e attends to: layer 1, head by head")
    page.show("Context", "The step that the model would take")
    page.heading("The step to e among the steps to others")
    assert page.page.locator("#panel tbody tr").count() == 3
    page.show("Numbers", "24 rows, 10 columns")
    page.page.get_by_label("Only the selected character").check()
    page.sees("3 rows, 10 columns")
    page.page.get_by_role("button", name="Next character").click()
    page.page.get_by_text("102", exact=True).filter(visible=True).first.wait_for()  # the byte f


def test_what_if_changes_the_prediction_and_resets_exactly(visit):
    page = visit({"text": "abcdefghij", "slot": 3, "layer": "all"})
    said, charts = page.page.locator(".said").first, page.page.locator("#panel .chart")
    page.until(lambda: "Nothing has changed yet" in said.inner_text() and charts.count() == 1)
    rows = page.page.locator(".expected tbody tr")
    page.until(lambda: rows.count() > 0)
    unchanged, bars, expected = said.inner_text(), _bars(page), rows.all_inner_texts()
    page.page.get_by_role("slider").press("End")
    page.until(lambda: charts.count() == 3 and "Likeliest next" in said.inner_text())
    effect = page.page.inner_text(".effect")
    assert "to predict, by" in effect
    assert said.inner_text().startswith(f"tiny. {effect} Likeliest next")
    page.until(lambda: _bars(page) != bars, "the prediction is as it was")
    page.page.get_by_role("button", name="Undo", exact=True).click()
    page.until(lambda: said.inner_text() == unchanged and charts.count() == 1)
    page.until(lambda: _bars(page) == bars, "the prediction is not what it was")
    page.until(lambda: rows.all_inner_texts() == expected, "the prediction is not what it was")
    page.page.get_by_label("Plain +1 instead").check()
    page.until(lambda: charts.count() == 3 and "to predict, by" in page.page.inner_text(".effect"))
    assert page.link["plain"] == "all"
    page.page.get_by_role("button", name="Undo", exact=True).click()
    page.until(lambda: said.inner_text() == unchanged)
    assert not page.page.get_by_label("Plain +1 instead").is_checked()


def test_a_dragged_gap_leaves_a_ghost_and_the_page_follows(visit, model):
    text = "abcdefgh"
    page = visit({"text": text, "slot": 1})
    page.drag_cell(howfar.trace(model, text), row=2, cell=4, by=60)
    page.until(lambda: page.page.locator(".ghost").count() > 0)
    page.until(lambda: "to predict" in page.page.inner_text(".effect"))
    assert page.page.locator(".losses rect").count() == 3  # f, g and h
    assert page.page.input_value(".beside .layer") == "1"
    factor = float(page.page.inner_text(".said-factor"))
    assert factor > 1
    page.until(lambda: page.page.locator("#panel .chart").count() == 3, "the panel does not follow")
    link = page.link
    assert (link["edits"], link["slot"], link["layer"]) == ({"1:4": factor}, 4, "1")
    page.page.locator(".beside .reset").click()
    page.until(lambda: page.page.locator(".ghost").count() == 0)
    assert page.link["edits"] == {}


def test_steps_of_a_dragged_gap_are_the_models_own_changed(visit, model):
    """What is drawn of a moved gap is what the library computes."""
    page = visit({"text": "abcdefgh", "slot": 2, "edits": {"1:2": 3.0}})
    with howfar.override(model, lambda layer, steps: _moved(steps, 3) if layer == 1 else steps):
        wanted = howfar.trace(model, "abcdefgh").increments.mean(axis=1)
    page.until(lambda: page.page.locator(".ghost").count() > 0)
    rows = page.page.evaluate("shown.content.rows.filter(row => !row.isPlain).map(row => row.gaps)")
    assert [pytest.approx(row, rel=1e-4) for row in wanted.tolist()] == rows


READOUT = "[...document.querySelectorAll('.readout .row')].map(row => row.textContent)"
CAPTION = "One step is changed: the step to “图” (character 2) is multiplied by 4 in all layers."


def test_a_moved_step_is_the_same_in_the_picture_its_sum_and_what_is_saved(visit, tmp_path):
    page = visit({"text": "a图b", "slot": 1, "edits": {"all:1": 4}, "layer": "all", "panel": {"name": "numbers"}})
    page.until(lambda: page.page.evaluate("known.effects !== null"))
    for said in page.page.evaluate(READOUT):
        gap, parts = re.search(r": (\S+) positions? = ([^,]+)", said).groups()
        assert sum(map(float, parts.split(" + "))) == pytest.approx(float(gap), rel=1e-2), said
    rows = page.page.evaluate("shown.content.rows.map(({ gaps, parts }) => [gaps, parts])")
    assert page.page.evaluate("shown.content.captions[0]") == CAPTION
    assert CAPTION in page.description
    saved = page.save("spacing-tiny", "HTML", tmp_path).read_text()
    content = json.loads(re.search(r'<script type="application/json">(.*?)</script>', saved).group(1))["content"]
    assert [[row["gaps"], row["parts"]] for row in content["rows"]] == rows
    assert content["captions"] == page.page.evaluate("shown.content.captions")
    assert f"{content['description']} Scale" in page.description
    table = pl.read_parquet(page.save("numbers-tiny", "PARQUET", tmp_path))
    of_character = table.filter(pl.col("token").is_between(1, 3)).group_by("layer").agg(pl.col("increment").sum())
    assert of_character.sort("layer")["increment"].to_list() == pytest.approx([row[0][1] for row in rows[1:]], rel=1e-4)
    page.sees("The changed steps, and what they change, are included.")


def test_two_factors_of_a_gap_are_drawn_as_the_model_was_given_them(visit, model):
    page = visit({"text": "abcdefgh", "slot": 2, "layer": "1", "edits": {"all:2": 2.0}})
    page.page.get_by_role("slider").fill("1.5")
    edits = {"all:2": 2, "1:2": 1.5}
    page.until(lambda: page.page.evaluate("known.effects?.content.moves") == edits)
    with howfar.override(model, lambda layer, steps: _moved(steps, 3 if layer == 1 else 2)):
        wanted = howfar.trace(model, "abcdefgh").increments.mean(axis=1)
    rows = page.page.evaluate("handle.drawing.content.rows.filter(row => !row.isPlain).map(row => row.gaps)")
    assert [pytest.approx(row, rel=1e-4) for row in wanted.tolist()] == rows


def test_the_effect_says_which_characters_it_counts(visit):
    page, effect = visit({"text": "abcdefgh", "slot": 2, "edits": {"all:2": 4, "all:4": 0.5}}), ".effect"
    page.until(lambda: page.page.inner_text(effect).startswith("The next 5 characters become"))
    assert page.page.inner_text(".losses h3").startswith("Change of surprisal of the characters that follow")
    page.until(lambda: "The next 5 characters become" in page.page.inner_text(".said"))
    for slot in (4, 7):
        page.page.evaluate(f"handle.select({slot}), state.slot = {slot}, showPanel()")
        named = "after the first changed step (character 3)"
        assert page.page.inner_text(effect).startswith(f"The 5 characters {named} become")
        assert page.page.inner_text(".losses h3").startswith(f"Change of surprisal of the characters {named}")
        page.until(lambda: f"The 5 characters {named} become" in page.page.inner_text(".said"))  # noqa: B023


def test_every_moved_step_of_a_long_text_has_its_effect(visit):
    page = visit({"text": "Ada wrote it. " * 60, "slot": 40, "edits": {"all:40": 4, "all:700": 4}})
    page.until(lambda: "that have a changed step before them in the model's window" in page.page.inner_text(".effect"))
    changes = page.page.evaluate(
        "shown.content.texts[0].surprisal.map((value, slot) => value - shown.before.texts[0].surprisal[slot])"
    )
    assert [any(changes[first : first + 20]) for first in (20, 41, 701)] == [False, True, True]
    page.until(lambda: "in the model's window" in page.page.inner_text(".said"))


def test_nothing_is_moved_while_readings_are_compared(visit):
    page = visit({"text": "abcdefgh", "slot": 2, "edits": {"all:2": 4}, "panel": {"name": "what-if"}})
    page.until(lambda: page.page.locator("#panel .chart").count() == 3)
    page.page.get_by_label("Compare with").select_option("other")
    page.until(lambda: page.page.locator(".said").count() == 2)
    for said in page.page.locator(".said").all_inner_texts():
        assert said.endswith("No step is moved while two readings are compared.")
    assert page.page.locator("#panel .chart").count() == 2
    assert "before" not in page.page.locator("#panel .chart").first.get_attribute("aria-label")
    assert page.page.locator(".ghost").count() == 0
    assert not page.page.evaluate("shown.isEdited")
    assert not any("changed" in caption for caption in page.page.evaluate("shown.content.captions"))
    page.page.get_by_label("Compare with").select_option("")
    page.until(lambda: page.page.locator(".ghost").count() > 0, "the moved step does not return")


def test_what_the_model_writes_after_a_moved_step_is_drawn_as_it_was_read(visit):
    page = visit({"text": "abcdefgh", "slot": 2, "edits": {"all:1": 4}, "layer": "all"})
    page.page.locator(".write").click()
    page.until(lambda: "“abcxx" in page.description)
    page.page.locator(".write").click()
    page.page.locator(".take-back").wait_for()
    page.until(lambda: page.page.evaluate("known.effects?.content.texts[0].labels.join('') === state.text"))


def _moved(steps, factor):
    steps = steps.clone()
    steps[..., 3] *= factor  # the mark is token 0
    return steps


@pytest.mark.parametrize(
    "clock", ["", "const begun = Date.now(); Date.now = () => begun;"], ids=["", "in one millisecond"]
)
def test_keys_move_a_gap_in_all_layers(visit, clock):
    page = visit({"text": "abcdefgh", "slot": 2}, script=clock)
    page.picture.focus()
    for key in ("ArrowUp", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.page.keyboard.press(key)
    assert page.page.input_value(".beside .layer") == "all"
    page.until(lambda: page.page.locator(".expected tbody td:last-child").first.inner_text() != "")
    assert page.page.inner_text(".said-factor") == "1.5"
    assert page.link["edits"] == {"all:2": 1.5}


def test_a_finger_moves_a_gap(visit, model):
    text = "abcdefgh"
    page = visit({"text": text, "slot": 1}, has_touch=True)
    x, y = page._place_of(howfar.trace(model, text), row=2, cell=4)
    touch = page.page.context.new_cdp_session(page.page)
    for kind, at in (("touchStart", x), ("touchMove", x + 20), ("touchMove", x + 60), ("touchEnd", None)):
        points = [] if at is None else [{"x": at, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.until(lambda: page.page.locator(".ghost").count() > 0, "nothing is moved")
    assert page.link["edits"]["1:4"] > 1


def test_the_model_writes_on_and_its_words_are_taken_back(visit):
    page = visit({"text": "abcdefgh", "slot": 2})
    page.page.locator(".write").click()
    page.until(lambda: "“abcx" in page.description)
    page.page.locator(".write").click()
    page.page.locator(".take-back").wait_for()
    written = page.text.input_value()
    assert written == "abc" + "x" * (len(written) - 3)
    page.page.locator(".take-back").click()
    page.until(lambda: "“abcdefgh”" in page.description)
    assert page.text.input_value() == "abcdefgh"


def test_an_emoji_before_it_moves_neither_the_writing_nor_a_step(visit):
    page = visit({"text": "😀👩‍🔬abcd", "slot": 3, "layer": "1", "edits": {"1:3": 2}})
    page.page.locator(".write").click()
    page.until(lambda: "abx" in page.description)
    page.page.locator(".write").click()
    page.page.locator(".take-back").wait_for()
    assert page.text.input_value().startswith("😀👩‍🔬abx")
    assert page.link["edits"] == {"1:3": 2}
    page.type_text("😀👩‍🔬axy")
    assert page.link["edits"] == {}


def test_what_is_typed_while_the_model_writes_stays(visit):
    page = visit({"text": "abcdefgh", "slot": 2})
    page.page.locator(".write").click()
    page.until(lambda: "“abcxx" in page.description)
    page.text.fill("mine")
    page.until(lambda: "“mine”" in page.description)
    page.page.wait_for_timeout(500)
    assert page.text.input_value() == "mine"
    assert page.page.inner_text(".write") == "Continue writing from here"


def _bars(page):
    """The bars of the first chart below the picture, to the last digit that it draws."""
    paths = page.page.locator("#panel .chart").first.locator(".mark-rect path")
    return paths.evaluate_all("paths => paths.map(path => path.getAttribute('aria-label'))")


def test_two_models_stand_beside_each_other(visit):
    page = visit({"model": "tiny", "compare": "other", "text": "side by side", "slot": 3})
    assert "How tiny (A) and other (B) space this text" in page.description
    names = page.page.evaluate("shown.content.rows.map(row => row.name)")
    assert names == ["plain", *(f"{letter} layer {layer}" for layer in range(3) for letter in "AB")]
    headings = page.page.get_by_role("heading", name="What the model expects after e").filter(visible=True)
    page.until(lambda: headings.count() == 2)
    assert [said.split(".")[0] for said in page.page.locator(".said").all_inner_texts()] == ["tiny", "other"]
    page.page.get_by_label("Compare with").select_option("nothing")
    page.until(lambda: "How tiny spaces this text" in page.description)


def test_models_of_letters_and_of_words_stand_at_the_same_place(visit):
    page = visit({"model": "tiny", "compare": "words", "text": "the cat sat", "slot": 6})
    texts = page.page.evaluate("shown.content.texts.map(text => text.labels)")
    assert texts[0] == [*"the cat sat"]
    assert "".join(texts[1]) == "the cat sat"
    assert texts[1][6] == " cat"
    assert page.selection == "character 7 of 11"
    for _ in range(2):
        page.page.locator("#back").click()
    page.until(lambda: page.selection == "character 5 of 11")
    headings = page.page.get_by_role("heading", name="What the model expects after").filter(visible=True)
    page.until(lambda: headings.count() == 2 and "cat" in headings.nth(1).inner_text())
    page.page.get_by_label("Compare with").select_option("nothing")
    page.until(lambda: "How tiny spaces" in page.description)
    assert page.selection == "character 5 of 11"
    number = sum(map(bool, texts[1][:6])) + 1
    page.page.get_by_label("Model").select_option("words")
    page.until(lambda: page.selection.startswith(f"token {number} of"))


def test_the_keyboard_stays_on_what_it_pressed_in_numbers(visit):
    page = visit({"text": "a text of more than twenty bytes", "panel": {"name": "numbers"}})
    focused = "document.activeElement.textContent"
    page.page.get_by_role("button", name="→").focus()
    page.page.keyboard.press("Enter")
    page.sees("page 2 of")
    assert page.page.evaluate(focused) == "→"
    page.page.get_by_role("button", name="surprisal_nats").focus()
    page.page.keyboard.press("Enter")
    page.until(lambda: page.page.evaluate(focused) == "surprisal_nats ↑")


def test_the_selected_letter_of_a_wide_chart_is_in_view(visit):
    page = visit(
        {"text": "a text that is wider than a phone", "slot": 30, "panel": {"name": "attention"}},
        viewport={"width": 390, "height": 800},
    )
    chart = page.page.locator("#documents .chart").first
    page.until(lambda: chart.evaluate("chart => chart.scrollLeft > 0"), "it is not scrolled")


def test_two_texts_stand_beside_each_other(visit):
    page = visit({"model": "tiny", "compare": "text", "text": "one", "other": "another one", "slot": 9})
    page.until(lambda: page.page.evaluate("shown.content.texts.map(text => text.labels.join(''))")[1] == "another one")
    assert page.selection == "first text: character 2 of 3, second text: character 10 of 11"
    page.sees("second text.")
    page.page.get_by_role("textbox", name="Second text").fill("")
    page.sees("The text is empty")
    page.page.get_by_role("textbox", name="Second text").fill("once")
    page.until(lambda: "of 4" in page.selection)
    page.page.get_by_label("Compare with").select_option("nothing")
    page.until(lambda: "second" not in page.selection)


def test_a_model_and_a_text_to_compare_with_exclude_each_other(visit):
    page = visit({"text": "one", "compare": "text", "other": "two"})
    assert page.page.get_by_role("textbox", name="Second text").is_visible()
    page.page.get_by_label("Compare with").select_option("other")
    page.until(lambda: "How tiny (A) and other (B)" in page.description)
    assert not page.page.get_by_role("textbox", name="Second text").is_visible()


def test_a_link_restores_all(visit):
    view = {"scale": "raw", "colour": "surprisal", "rows": "all"}
    panel = {"name": "attention", "layer": "1", "part": 1, "only": False}
    state = {"text": "Ada 图书馆 <b>", "slot": 4, "layer": "1", "edits": {"1:4": 2}, "view": view, "panel": panel}
    page = visit(state)
    page.sees("layer 1, head by head")
    page.page.get_by_role("button", name="Copy link").click()
    page.until(lambda: "link is" in page.page.inner_text("#status"))
    other = visit(page.page.evaluate("decodeURIComponent(location.hash.slice(1))"))
    other.sees("layer 1, head by head")
    assert other.link == page.link
    assert {**other.link, **state} == other.link
    assert other.selection == page.selection
    assert other.text.input_value() == "Ada 图书馆 <b>"
    assert other.description == page.description
    assert "Scale raw:" in other.description
    other.until(lambda: other.page.locator(".ghost").count() > 0)


def test_a_panels_layer_of_a_model_that_is_compared_is_kept_in_the_link_and_dropped_with_the_model(visit):
    def with_another_layer(route):
        answer = route.fetch()
        models = answer.json()["models"]
        next(model for model in models if model["name"] == "other")["layers"].append(7)
        route.fulfill(response=answer, json=answer.json() | {"models": models})

    panel = {"name": "attention", "layer": "7", "part": 20, "only": False}
    page = visit({"text": "ab", "slot": 1, "compare": "other", "panel": panel}, wait=False)
    page.page.route("**/folder.json", with_another_layer)
    page.page.reload()
    page.sees("tiny. There is no layer 7")
    assert page.page.locator("#warning").is_hidden()
    assert page.link["panel"] == panel
    page.page.get_by_label("Compare with").select_option("nothing")
    page.heading("What b attends to: all layers")


def test_the_page_follows_a_dark_system(visit):
    page = visit({"text": "night", "slot": 1}, color_scheme="dark")
    label = page.page.locator("#panel .chart text", has_text="probability").first
    page.until(lambda: label.get_attribute("fill") == "#9aa4b0", "the charts stay light")
    light = page.pixels()
    page.page.emulate_media(color_scheme="light")
    page.until(lambda: label.get_attribute("fill") == "#5f6873", "the charts stay dark")
    page.until(lambda: page.pixels() != light, "the picture stays dark")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(visit, theme):
    page = visit(viewport={"width": 390, "height": 800}, color_scheme=theme)
    for panel, sign in (
        ("Attention", "Weight by"),
        ("Numbers", "columns"),
        ("Context", "The step"),
        ("What if", "after"),
    ):
        page.show(panel, sign)
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 390, panel


def test_a_long_text_scrolls(explorer):
    page = explorer
    page.type_text("A long text, word by word. " * 741)
    page.until(lambda: page.page.locator("#status").inner_text().startswith("20,007 bytes"))
    page.page.evaluate("() => document.querySelector('#picture .picture').scrollIntoView({ block: 'end' })")
    page.until(lambda: page.picture.locator("> svg").last.locator(".row").count() > 0)

"""The page on which a model runs in the browser: PyTorch's numbers, no other host, and what a visitor does."""

import json
import re
import unicodedata
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import howfar
from browser.visiting import PATIENCE
from howfar.charts.glyphs import reads_right_to_left, visible
from howfar.charts.spacing.align import _by_pieces
from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.captions import describe, findings
from howfar.charts.spacing.kinds import kind_of
from howfar.explorer.answers import effects
from howfar.explorer.inference import Inference
from howfar.explorer.question import question_of
from howfar.positions import IncrementConfig
from support.traces import make_trace

HOSTILE = "</script><img src=x onerror=alert(1)> \u202e&amp;"
NUM_TEXTS = 50
# What the page draws of a text by its chosen model.
CONTENT = """async text => {
    Object.assign(state, { text, edits: {}, compare: "" });
    return contentOf([await readingOf("test", state.model, text, false)]);
}"""
PIECES = [
    "The ",
    "old ",
    "keeper",
    ", ",
    "居里",
    "夫人",
    "。",
    "é",
    "\n",
    "1903",
    "def f(x):",
    "مرحبا ",
    "👩‍🔬",
    "<b>",
    "\t",
    "Wien",
]


@pytest.fixture(scope="module")
def opened(chromium, site):
    """Opens the page; in the end nothing has gone wrong in it, and no other host was asked for anything."""
    contexts, errors, foreign = [], [], []

    def open_page(link="", **options):
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                foreign.append(request.url) if not request.url.startswith((site, "data:", "blob:")) else None
            ),
        )
        page.goto(site + link)
        page.wait_for_selector("html[data-revision]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert foreign == []


@pytest.fixture(scope="module")
def one_page(opened):
    return opened()


@pytest.fixture
def live(one_page):
    """The page that tests share, as it was when it was opened."""
    change(
        one_page,
        lambda: one_page.evaluate("Object.assign(state, startState()), fillForm(), fillTexts(state), refresh()"),
    )
    return one_page


def change(page, action):
    """Do something, and wait for the picture that follows it."""
    before = page.get_attribute("html", "data-revision")
    action()
    page.wait_for_function("before => document.documentElement.dataset.revision !== before", arg=before)


@contextmanager
def writing(page, token):
    """The model writes one token again and again: a random model would soon end the document by chance."""
    page.evaluate("() => { globalThis.byChance = sampled; sampled = () => " + token + "; }")
    try:
        yield
    finally:
        page.evaluate("() => { sampled = byChance; }")


def begin(page, text):
    """Type a text and select its last character."""
    change(page, lambda: page.fill("#text", text))
    page.focus(".look > .picture")
    page.keyboard.press("End")


def random_texts():
    random = np.random.default_rng(0)
    return [" ", *("".join(random.choice(PIECES, random.integers(1, 24))) for _ in range(NUM_TEXTS))]


def assert_pytorchs(content, model, text):
    """What the page draws of a text is what PyTorch computes."""
    wanted = content_of(howfar.trace(model, text)).json()
    assert content["rightToLeft"] == wanted["rightToLeft"], text
    assert content["captions"] == wanted["captions"], text
    said, as_said = (re.split(r"(\d+\.\d\d)", one["description"]) for one in (content, wanted))
    assert [re.sub(r"±[\d.]+", "±", words) for words in said[::2]] == [
        re.sub(r"±[\d.]+", "±", words) for words in as_said[::2]
    ]
    np.testing.assert_allclose([float(one) for one in said[1::2]], [float(one) for one in as_said[1::2]], atol=0.011)
    for name in ("labels", "tokens", "kinds"):
        assert content["texts"][0][name] == wanted["texts"][0][name], text
    for name in ("surprisal", "entropy"):
        np.testing.assert_allclose(content["texts"][0][name], wanted["texts"][0][name], rtol=1e-4, atol=1e-4)
    assert [row["name"] for row in content["rows"]] == [row["name"] for row in wanted["rows"]]
    for got, row in zip(content["rows"], wanted["rows"], strict=True):
        np.testing.assert_allclose(got["gaps"], row["gaps"], rtol=1e-3, atol=1e-4)
        assert got["parts"].keys() == {str(slot) for slot in row["parts"]}
        for slot, steps in row["parts"].items():
            np.testing.assert_allclose(got["parts"][str(slot)], steps, rtol=1e-2)


def test_numbers_are_pytorchs(live, model):
    for text in [*random_texts(), "\ufeffThe old\x85keeper"]:
        assert_pytorchs(live.evaluate(CONTENT, text), model, text)


def test_characters_are_classed_as_in_python(live):
    known = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")]
    texts = [*known[:3000], *np.random.default_rng(0).choice(known, 3000).tolist(), "\U0003fffd", "12 (ב)", "Ⅷ ש", "𞤀𞤣"]
    found = live.evaluate("texts => texts.map(text => [visible(text), kindOf(text), readsRightToLeft(text)])", texts)
    for text, classes in zip(texts, found, strict=True):
        assert classes == [visible(text, space=" "), kind_of(text), reads_right_to_left(text)], ascii(text)


def test_two_texts_are_aligned_as_in_python(live):
    random = np.random.default_rng(1)
    pairs = [["Anna went to the old town", "Berta went into town"], ["The cat sat", "The big cat sat"], ["a", ""]]
    pairs += [["".join(random.choice(list("ab c"), random.integers(1, 30))) for _ in range(2)] for _ in range(200)]
    found = live.evaluate("pairs => pairs.map(pair => aligned(pair.map(text => Array.from(text))))", pairs)
    for pair, slots in zip(pairs, found, strict=True):
        assert slots == _by_pieces(*map(list, pair)).slots, pair


@pytest.mark.parametrize(("advance", "changed"), [("before", [2, 3]), ("after", [1, 2])])
def test_a_moved_gap_changes_the_steps_that_lead_to_its_character(live, advance, changed):
    multipliers = live.evaluate(
        """advance => {
            Object.assign(state, { edits: { "7:1": 3 } });
            return Array.from(multipliersOf({ layers: [5, 7], advance }, "aé", 4));
        }""",
        advance,
    )
    assert [place for place, factor in enumerate(multipliers) if factor == 3] == [4 + place for place in changed]


# Texts that each change the one before, read on from it, and read by a worker that knows none of them.
EDITED = """async ([texts, edits]) => {
    const differences = [];
    for (const [index, text] of texts.entries()) {
        Object.assign(state, { text, compare: "", edits: edits[index] });
        const model = modelNamed(state.model), got = await readingOf("edited", state.model, text, true);
        const worker = new Worker("worker.js", { type: "module" });
        const fresh = await new Promise((resolve) => {
            worker.onmessage = ({ data }) => resolve(data);
            worker.postMessage({
                file: model.file, tokens: got.tokens, numLayers: model.layers.length,
                multipliers: multipliersOf(model, text, got.tokens.length),
            });
        });
        worker.terminate();
        const apart = (one, other) => Math.max(...Array.from(one, (value, place) => Math.abs(value - other[place])));
        differences.push(Math.max(
            apart(got.surprisal, fresh.surprisal), apart(got.entropy, fresh.entropy),
            ...got.increments.map((row, layer) => apart(row, fresh.increments[layer])),
        ));
    }
    return differences;
}"""


def test_what_is_read_on_from_a_text_before_is_what_is_read_anew(live):
    texts = [
        "The keeper",
        "The keeper 居",
        "The kee居",
        "The kee居",
        "The old kee居里",
        "The old kee",
        "x",
        "The keeper",
    ]
    edits = [{}, {}, {}, {"1:4": 2.5}, {"1:4": 2.5}, {"all:9": 0.5}, {}, {}]
    differences = live.evaluate(EDITED, [texts, edits])
    assert len(differences) == len(texts)
    assert max(differences) < 1e-4


def test_typing_works_without_the_network(live):
    page = live
    page.context.set_offline(True)
    change(page, lambda: page.fill("#text", "Nobody is connected."))
    page.context.set_offline(False)
    assert page.inner_text("#status").startswith("20 bytes")


def test_a_step_is_dragged_and_undone(live):
    page = live
    page.locator("#picture .controls input[type=checkbox]").check()
    panel = page.locator(".panel").first
    drawing = page.evaluate("({ x: handle.drawing.layout.before[1][6] + 3, y: handle.drawing.middles[1] })")
    box = panel.bounding_box()
    start = (box["x"] + drawing["x"], box["y"] + drawing["y"])

    def drag():
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(start[0] + 60, start[1], steps=3)
        page.mouse.up()

    before = page.evaluate("shown.plain.increments[0][7]")
    change(page, drag)
    page.wait_for_function("() => shown.isEdited && Object.keys(state.edits).length === 1")
    key, factor = page.evaluate("Object.entries(state.edits)[0]")
    assert key == "0:6"
    assert factor > 1
    page.wait_for_function(
        "([wanted]) => Math.abs(shown.changed.increments[0][7] - wanted) < 1e-3 * wanted", arg=[before * factor]
    )
    page.wait_for_function("() => document.querySelectorAll('.ghost').length > 0")
    assert "nats" in page.inner_text(".effect") or "as easy to predict" in page.inner_text(".effect")
    assert page.locator(".losses rect").count() > 0
    change(page, lambda: page.click(".reset"))
    assert page.locator(".ghost").count() == 0
    assert page.evaluate("shown.isEdited") is False


def test_moved_steps_are_drawn_as_the_model_was_given_them_and_said(live, model):
    text, page = "The cat sat.", live
    page.evaluate("([text]) => { Object.assign(state, { text, slot: 4, layer: 'all' }); return refresh(); }", [text])
    for layer, factor in (("all", "2"), ("1", "1.5")):
        page.locator("select.layer").select_option(layer)
        change(page, lambda: page.get_by_role("slider").fill(factor))  # noqa: B023
    page.wait_for_function("() => Object.keys(shown.content.moves).length === 2")
    assert page.evaluate("state.edits") == {"all:4": 2, "1:4": 1.5}

    def moved(layer, steps):
        steps = steps.clone()
        steps[..., 5] *= 3 if layer == 1 else 2  # the mark is token 0
        return steps

    with howfar.override(model, moved):
        wanted = content_of(howfar.trace(model, text))
    own = content_of(howfar.trace(model, text))
    wanted = replace(
        wanted,
        rows=[replace(row, mean=before.mean) for row, before in zip(wanted.rows, own.rows, strict=True)],
        shared_mean=own.shared_mean,
        moves={"all:4": 2.0, "1:4": 1.5},
    )
    drawn = page.evaluate("handle.drawing.content")
    for got, row in zip(drawn["rows"], wanted.rows, strict=True):
        np.testing.assert_allclose(got["gaps"], row.gaps, rtol=1e-3, atol=1e-4)
    assert drawn["moves"] == wanted.moves
    assert drawn["captions"] == findings(wanted)
    assert drawn["captions"][0] == (
        "Steps are changed: the step to “c” (character 5) is multiplied by 1.5 in layer 1; "
        "the step to “c” (character 5) is multiplied by 2 in all layers."
    )
    change(page, lambda: page.select_option("#compare", "other"))
    assert page.evaluate("[shown.isEdited, shown.content.moves]") == [False, {}]


@pytest.mark.parametrize("text", ["The cat sat.", "The cat 图s\u0301at.\n", "The cat\r\n"])
def test_the_effect_is_the_explorers_and_says_which_characters_it_counts(live, model_folders, text):
    page, moves = live, {"all:6": 0.5, "1:4": 4}
    page.evaluate(
        "([text, edits]) => { Object.assign(state, { text, edits, slot: 4 }); return refresh(); }", [text, moves]
    )
    asked = question_of({"model": "tiny", "text": text, "moves": moves})
    wanted = effects(Inference({"tiny": model_folders[0]}), asked)
    losses = page.evaluate("shown.losses")
    assert [one["label"] for one in losses] == [one["label"] for one in wanted["losses"]]
    changes = ([one["change"] for one in found] for found in (losses, wanted["losses"]))
    np.testing.assert_allclose(*changes, rtol=1e-3, atol=1e-4)
    assert page.evaluate("[shown.first, shown.isPart]") == [wanted["first"], wanted["isPart"]]
    many = f"{len(losses)} characters"
    assert page.inner_text(".effect").startswith(f"The next {many} become")
    page.evaluate("handle.select(6), state.slot = 6, showPanel()")
    assert page.inner_text(".effect").startswith(f"The {many} after the first changed step (character 5) become")
    assert "after the first changed step (character 5)" in page.inner_text(".losses h3")


def test_what_was_changed_is_said_as_in_python(live):
    content = content_of(make_trace("a b图c", [[1.0, 2, 3, 4, 5, 6, 7], [2.0] * 7]))
    for moves, plain in (
        ({}, "all"),
        ({"1:3": 0.05}, None),
        ({"all:1": 8.0}, "1"),
        ({"1:1": 8.0, "0:1": 3.3333333}, "1"),
        ({"1:4": 2.0, "all:1": 0.0, "0:1": 16.0, "0:0": 1.25, "all:0": 12.25}, None),
    ):
        wanted = replace(content, moves=moves, plain=plain)
        said, described = live.evaluate("content => [findings(content), describe(content)]", wanted.json())
        assert said == findings(wanted)
        assert described == describe(wanted)


def test_keys_choose_a_row_and_move_the_gap(live):
    page = live
    page.focus(".look > .picture")
    for key in ("Home", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    change(page, lambda: page.keyboard.press("Shift+ArrowRight"))
    page.wait_for_function("() => shown.isEdited")
    assert page.evaluate("state.edits") == {"1:1": 1.25}
    assert page.input_value(".beside .layer") == "1"
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    change(page, lambda: page.keyboard.press("Shift+ArrowLeft"))
    assert page.evaluate("state.edits") == {"1:1": 1.25, "all:1": 0.75}


def test_the_model_writes_on_and_its_words_are_taken_back(live):
    page = live
    begin(page, "Two roads")
    with writing(page, "0x61"):
        page.click(".write")
        page.wait_for_function("() => state.text.length > 12")
        page.click(".write")
        page.wait_for_function("() => !written.isGoing")
    assert page.input_value("#text").startswith("Two roadsaaaa")
    change(page, lambda: page.click(".take-back"))
    assert page.input_value("#text") == "Two roads"


TYPED_AT_ONCE = """() => {
    byId("text").value = "Typed";
    byId("text").dispatchEvent(new Event("input"));
}"""


def test_what_a_visitor_types_or_chooses_ends_the_writing_and_stays(live):
    page = live
    chosen = page.evaluate("folder.examples.findIndex(({ name }) => name.includes('Chinese'))")
    for action, kept in (
        (lambda: page.evaluate(TYPED_AT_ONCE), "Typed"),
        (lambda: page.select_option("#example", str(chosen)), page.evaluate(f"folder.examples[{chosen}].text")),
    ):
        begin(page, "Two roads")
        with writing(page, "0x61"):
            page.click(".write")
            page.wait_for_function("() => state.text.endsWith('aa')")
            change(page, action)
            page.wait_for_timeout(300)
            assert page.evaluate("written") is None
        assert page.input_value("#text") == page.evaluate("state.text") == kept


def test_a_text_that_is_too_long_stays_in_its_box_until_another_is_chosen(live):
    page = live
    begin(page, "Two roads")
    long = "x" * (page.evaluate("folder.most") + 1)
    page.fill("#text", long)
    page.click(".write")
    assert page.evaluate("written") is None
    change(page, lambda: page.select_option("#compare", "text"))
    assert page.input_value("#text") == long
    assert "shorten it" in page.inner_text("#warning")
    change(page, lambda: page.select_option("#example", "0"))
    assert page.input_value("#text") == page.evaluate("state.text") == page.evaluate("folder.examples[0].text")
    assert page.is_hidden("#warning")


def test_the_model_stops_writing_where_a_document_ends(live):
    page = live
    begin(page, "Two roads")
    with writing(page, "state.text.length < 12 ? 0x61 : modelNamed(state.model).mark"):
        page.click(".write")
        page.wait_for_function("() => written && !written.isGoing")
    assert page.input_value("#text") == "Two roadsaaa"
    assert page.is_enabled(".take-back")


def test_every_random_number_chooses_a_token_that_can_come(live):
    tokens = live.evaluate("""() => {
        const random = Math.random, chances = [0, 0.1, 0, 0.9, 0];
        const chosenAt = value => { Math.random = () => value; return sampled(chances); };
        const chosen = [0, 0.01, 0.5, 1 - 2 ** -53, 1].map(chosenAt);
        Math.random = random;
        return chosen;
    }""")
    assert tokens == [1, 1, 3, 3, 3]


# A model that expects 士 with 0.4 · 0.5 · 0.8, and with changed steps with 0.2 · 0.5 · 0.5, and else "a" with 0.3.
EXPECTS_A_CHINESE_CHARACTER = """() => {
    globalThis.askedReally = reader.ask.bind(reader);
    globalThis.chancesReally = chancesAfter;
    const isMoved = ({ multipliers }) => multipliers?.some(factor => factor !== 1);
    reader.ask = async (kind, question) => ({ ...await askedReally(kind, question), isMoved: isMoved(question) });
    chancesAfter = ({ isMoved, size }, token) => {
        const chances = new Float64Array(size), step = token - 2; // of the text "ab"
        chances[[0xe5, 0xa3, 0xab][step]] = (isMoved ? [0.2, 0.5, 0.5] : [0.4, 0.5, 0.8])[step];
        if (step === 0) chances[0x61] = 0.3;
        return chances;
    };
}"""
AS_IT_WAS = "() => { reader.ask = askedReally; chancesAfter = chancesReally; }"


def test_a_character_of_several_bytes_has_the_probability_of_all_of_them(live):
    page = live
    page.evaluate(EXPECTS_A_CHINESE_CHARACTER)
    try:
        begin(page, "ab")
        rows = page.locator(".expected tbody tr")
        assert rows.first.inner_text().split() == ["…"]
        page.wait_for_function("() => document.querySelector('.expected').innerText.includes('士')")
        assert [row.split() for row in rows.all_inner_texts()[:2]] == [["a", "30%"], ["士", "16%"]]
        change(page, lambda: page.keyboard.press("Shift+ArrowRight"))
        page.wait_for_function("() => document.querySelector('.expected').innerText.includes('士')")
        assert [row.split() for row in rows.all_inner_texts()[:2]] == [["a", "30%", "30%"], ["士", "16%", "5%"]]
    finally:
        page.evaluate(AS_IT_WAS)


def test_a_link_brings_everything_back(live, opened):
    page = live
    change(page, lambda: page.fill("#text", "Two roads."))
    change(page, lambda: page.select_option("#compare", "text"))
    change(page, lambda: page.fill("#other", "Two loads."))
    assert page.evaluate("handle.drawing.content.texts.map(text => text.labels.join(''))") == [
        "Two roads.",
        "Two loads.",
    ]
    first, second = page.evaluate("handle.drawing.content.rows.slice(1, 3).map(row => row.mean)")
    assert first == second  # rows of one model share the average, so that an equal step looks equal
    page.evaluate("history.replaceState(null, '', linkOfState())")
    again = opened(page.evaluate("location.hash"))
    assert again.input_value("#text") == "Two roads."
    assert again.input_value("#other") == "Two loads."
    assert again.evaluate("handle.drawing.content.title") == page.evaluate("handle.drawing.content.title")


def test_two_models_stand_beside_each_other(live):
    page = live
    change(page, lambda: page.select_option("#compare", "other"))
    assert page.evaluate("handle.drawing.content.rows.map(row => row.name).slice(0, 3)") == [
        "plain",
        "A layer 0",
        "B layer 0",
    ]
    assert page.evaluate("handle.drawing.content.title") == "How tiny (A) and other (B) space this text"
    assert page.locator(".beside > .how").inner_text() == "To move a step, compare with nothing."


def test_characters_of_two_texts_have_the_numbers_of_their_own_text(live):
    page = live
    change(page, lambda: page.fill("#text", "The big cat sat"))
    change(page, lambda: page.select_option("#compare", "text"))
    change(page, lambda: page.fill("#other", "The cat sat"))
    page.evaluate("handle.select(8)")
    assert re.findall(r"character (\d+),", page.inner_text(".readout")) == ["9", "5"]


MENUS = """() => Array.from(document.querySelectorAll(".controls select"), select =>
    [select.value, Array.from(select.options, option => option.value)])"""


def test_menus_follow_the_picture(live):
    page = live
    (scale, _), (colour, colours) = page.evaluate(MENUS)
    assert (scale, colour) == ("layer-mean", "gap")
    assert "difference" not in colours
    change(page, lambda: page.select_option("#compare", "text"))
    assert "difference" in page.evaluate(MENUS)[1][1]
    change(
        page, lambda: page.evaluate("state.view = { scale: 'contrast', colour: 'difference', rows: 'all' }; refresh()")
    )
    assert [chosen for chosen, _ in page.evaluate(MENUS)] == ["contrast", "difference"]
    change(page, lambda: page.select_option("#compare", ""))
    assert [chosen for chosen, _ in page.evaluate(MENUS)] == ["contrast", "gap"]


def test_no_row_is_divided_by_a_mean_step_of_zero_or_less(live):
    page = live
    page.evaluate("""() => {
        const { content } = shown;
        const rows = content.rows.map(row => row.isPlain ? row : { ...row, mean: -0.5 });
        draw({ ...content, sharedMean: -0.5, rows }, null);
    }""")
    assert page.evaluate("handle.drawing.view.scale") == "raw"
    assert page.evaluate(MENUS)[0] == ["raw", ["raw"]]


@pytest.mark.parametrize(
    "link",
    [
        "#%",
        "#null",
        "#" + json.dumps({"layer": "x"}),
        "#" + json.dumps({"text": 3, "edits": {"x": 1, "0:1": "a"}, "view": {"scale": "</script>"}}),
    ],
)
def test_a_damaged_link_opens_the_page(opened, link):
    page = opened(link)
    assert page.evaluate("state.view.scale") == "layer-mean"
    assert page.evaluate("state.edits") == {}
    assert page.evaluate("handle.layer") == "0"


@pytest.mark.parametrize("cut_model", ["tiny", "other"])
def test_two_models_of_which_one_reads_less_read_one_text(live, cut_model):
    page, text = live, "居里 wrote. " * 8
    of_models = f"modelNamed('{cut_model}').context"
    before = page.evaluate(of_models)
    page.evaluate(of_models + " = 64")
    try:
        change(page, lambda: page.fill("#text", text))
        change(page, lambda: page.select_option("#compare", "other"))
        content = page.evaluate("shown.content")
        page.evaluate(f"handle.select({len(text) - 1}), state.slot = {len(text) - 1}, showPanel()")
        place, note = page.inner_text("#place"), page.inner_text("#status")
    finally:
        page.evaluate(f"{of_models} = {before}")
    assert content["title"] == "How tiny (A) and other (B) space this text"
    assert content["isOneText"]
    letter = "AB"[cut_model == "other"]
    assert note.endswith(f" s. {cut_model} ({letter}) reads 63 bytes; the rest is left out.")
    num_read = [sum(count > 0 for count in one["tokens"]) for one in content["texts"]]
    assert sorted(num_read) == [43, len(text)]
    assert place == (f"character {len(text)} of {len(text)}" if letter == "B" else "character that tiny does not read")


@pytest.mark.parametrize(
    ("first", "second"), [("short", "long"), ("long", "short"), ("long", "other long"), ("long", "long")]
)
def test_each_text_that_is_cut_is_named(live, first, second):
    page, texts = live, {"short": "A text.", "long": "Long texts. " * 30, "other long": "Long texts. " * 40}
    change(page, lambda: page.fill("#text", texts[first]))
    change(page, lambda: page.select_option("#compare", "text"))
    if first != second:
        change(page, lambda: page.fill("#other", texts[second]))
    note, is_one = page.inner_text("#status"), page.evaluate("shown.content.isOneText")
    for letter, name in zip("AB", (first, second), strict=True):
        said = f"Of text {letter}, the model reads 255 bytes; the rest is left out."
        assert (said in note) is ("long" in name)
    assert is_one is (first == second)
    assert page.evaluate("shown.content.title").endswith("two texts, A and B (means over both)") is not is_one
    change(page, lambda: page.select_option("#compare", ""))
    assert ("s. The model reads 255 bytes; the rest is left out." in page.inner_text("#status")) is ("long" in first)


def test_an_empty_text_is_refused_and_shows_nothing(live):
    page = live

    def refused(box):
        page.fill(box, "")
        page.wait_for_function("() => byId('status').textContent === 'The text is empty; give at least one character.'")
        assert page.is_hidden("#shown")
        assert page.inner_text("#place") == ""
        page.click("#forth")
        assert page.inner_text("#place") == ""

    begin(page, "Two roads")
    refused("#text")
    begin(page, "Two roads")
    assert page.is_visible("#shown")
    assert page.inner_text("#place") == "character 9 of 9"
    change(page, lambda: page.select_option("#compare", "text"))
    refused("#other")
    change(page, lambda: page.select_option("#compare", ""))
    assert page.is_visible("#shown")


@pytest.mark.parametrize("text", ["Two roads", "مرحبا بالعالم", "שלום עולם"])
def test_buttons_move_where_their_arrows_point_as_the_keys_do(live, text):
    page = live
    begin(page, text)
    left_of = "() => document.querySelector('#picture .panel .marks rect').getBoundingClientRect().left"
    page.evaluate("handle.select(4), state.slot = 4, showPanel()")
    before = page.evaluate(left_of)
    for button, key, towards in (("forth", "ArrowRight", 1), ("back", "ArrowLeft", -1)):
        page.click(f"#{button}")
        after, slot = page.evaluate(left_of), page.evaluate("state.slot")
        assert (after - before) * towards > 0
        named = "Next character" if slot > 4 else "Previous character"
        assert page.get_attribute(f"#{button}", "aria-label") == named
        page.evaluate("handle.select(4), state.slot = 4, showPanel()")
        page.focus(".look > .picture")
        page.keyboard.press(key)
        assert page.evaluate("state.slot") == slot
        page.evaluate("handle.select(4), state.slot = 4, showPanel()")


def test_titles_say_what_means_are_over_as_in_python(live, model):
    found = live.evaluate(
        """async ([text, other]) => {
            const asked = [text, other, text];
            const readings = asked.map((own, at) => readingOf(`t${at}`, state.model, own, false));
            const [one, two, same] = await Promise.all(readings);
            const withHeads = readings => readings.map(reading => ({ ...reading, numHeads: 2 }));
            const shown = [[one], [one, two], [one, same], withHeads([one]), withHeads([one, two])];
            return shown.map(all => contentOf(all).title);
        }""",
        ["Two roads", "Two road"],
    )
    per_head = IncrementConfig(per_head=True)
    one, two = (replace(howfar.trace(model, text), model_name="tiny") for text in ("Two roads", "Two road"))
    with_heads = [
        replace(
            own,
            config=per_head,
            increments=own.increments.repeat(2, 1),
            mark_increments=own.mark_increments.repeat(2, 1),
        )
        for own in (one, two)
    ]
    pairs = [(one, None), (one, two), (one, one), (with_heads[0], None), tuple(with_heads)]
    assert found == [content_of(first, beside=second).title for first, second in pairs]
    assert [title.endswith("mean over heads (means over both)") for title in found] == [False] * 4 + [True]


def test_hostile_text_is_text(live):
    page = live
    change(page, lambda: page.fill("#text", HOSTILE))
    assert page.locator("img").count() == 0
    assert page.evaluate("handle.drawing.content.texts[0].labels.join('')").startswith("</script><img")


def test_boxes_have_the_pages_letters(live):
    families = live.evaluate(
        "['body', '#text', 'label.full'].map(one => getComputedStyle(document.querySelector(one)).fontFamily)"
    )
    assert families[0] == families[1]
    assert not any("CJK" in family for family in families)
    assert live.evaluate("getComputedStyle(byId('text')).fontSize") == "16px"  # a phone zooms in on smaller ones


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(opened, theme):
    page = opened(viewport={"width": 390, "height": 800}, color_scheme=theme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    lightness = page.evaluate(
        "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (lightness > 128) == (theme == "light")

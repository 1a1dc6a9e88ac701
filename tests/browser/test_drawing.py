"""The page's script draws what Python draws, from the same numbers."""

import re
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.elements import number
from howfar.charts.spacing.page import script
from howfar.charts.spacing.scales import short
from howfar.charts.spacing.svg import Drawing, View
from howfar.positions import IncrementConfig
from support.traces import make_trace

NUM_TRACES = 200
TOLERANCE = 0.1 + 1e-6  # pixels
NUMBER = re.compile(r"-?\d+\.?\d*")
ALPHABET = [
    "a",
    "i",
    "M",
    "W",
    " ",
    " ",
    ".",
    "\n",
    "é",
    "ж",
    "居",
    "，",
    "ب",
    "(",
    "👩‍🔬",
    "🇪🇬",
    "<",
    "&",
    '"',
    "\u202e",
    "e\u0301",
]
SCALES = ("layer-mean", "raw", "shared", "contrast")
WITHIN = "within 0.005 nats in total."
FIRST = "the first changed step (character 6)"
FAR = "the first changed step (token 1,001)"
COLOURS = ("gap", "rank", "surprisal", "entropy", "kind", "difference")


def random_trace(seed):
    """Texts of all scripts, of some layers whose steps are wild, nearly even, or backwards."""
    random = np.random.default_rng(seed)
    length = int(random.integers(1, 400 if seed % 10 == 0 else 60))
    text = "".join(random.choice(ALPHABET, length))
    num_tokens = len(text.encode())
    signed = seed % 7 == 0
    spreads = random.choice([0.0, 0.01, 0.03, 0.5, 1.5], int(random.integers(1, 7)))
    increments = np.exp(spreads[:, None] * random.standard_normal((len(spreads), num_tokens)))
    increments *= np.where(random.random(increments.shape) < 0.01, 40, 1)
    if signed:
        increments = increments + 0.3 * random.standard_normal(increments.shape)
    trace = make_trace(text, increments, config=IncrementConfig(bound="signed") if signed else None)
    return trace, random


def in_words(trace, random):
    """The same text as another model divides it: whole characters, some of them in one token."""
    data = trace.text.encode()
    starts = [place for place, byte in enumerate(data) if byte & 0xC0 != 0x80]
    kept = [0, *(start for start in starts[1:] if random.random() < 0.4), len(data)]
    spans = list(pairwise(kept))
    return make_trace(trace.text, random.uniform(0.5, 2, (2, len(spans))), token_bytes=spans, model_name="words")


def drawn_in_python(content, view, width):
    drawing = Drawing(content, view, width)
    panels = [drawing.panel(index) for index in range(len(drawing.layout.panels))]
    return [drawing.header(), *panels, f"{drawing.header_height} {drawing.panel_height}"]


@pytest.fixture(scope="module")
def page(chromium):
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.evaluate(script())
        yield page


def drawn_in_the_page(page, content, view, width):
    return page.evaluate(
        """([content, view, width]) => {
            const drawing = howfarSpacing.draw(content, view, width);
            const panels = drawing.layout.panels.map((_, index) => drawing.panel(index));
            return [drawing.header(), ...panels, `${drawing.headerHeight} ${drawing.panelHeight}`];
        }""",
        [content.json(), asdict(view), width],
    )


def test_both_round_numbers_alike(chromium):
    random = np.random.default_rng(0)
    halves = random.integers(-4000, 4000, 500) / 8
    values = [*halves.tolist(), *(10.0 ** random.uniform(-9, 9, 500)).tolist(), 0.0, -0.0, 1.2e-5, 999_999.5]
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.evaluate(script(moving=True))
        written = page.evaluate(
            "values => values.map(value => [howfarSpacing.number(value), howfarSpacing.short(value, 2)])", values
        )
    assert written == [[number(value), short(value, 2)] for value in values]


def test_both_drawings_are_the_same_to_a_tenth_of_a_pixel(page):
    for seed in range(NUM_TRACES):
        trace, random = random_trace(seed)
        other = (
            random_trace(seed + NUM_TRACES)[0] if seed % 5 == 0 else in_words(trace, random) if seed % 5 == 1 else None
        )
        if seed % 10 == 1:
            trace, other = other, trace
        content = content_of(trace, beside=other)
        colours = COLOURS if other is not None else COLOURS[:-1]
        view = View(str(random.choice(SCALES)), str(random.choice(colours)), str(random.choice(["auto", "all"])))
        width = float(random.choice([360, 390, 720, 1100, 1733]))
        here, there = drawn_in_python(content, view, width), drawn_in_the_page(page, content, view, width)
        assert len(here) == len(there), (seed, view, width)
        for ours, theirs in zip(here, there, strict=True):
            assert NUMBER.sub("#", ours) == NUMBER.sub("#", theirs), (seed, view, width)
            ours_at, theirs_at = (np.array(NUMBER.findall(one), dtype=float) for one in (ours, theirs))
            np.testing.assert_allclose(ours_at, theirs_at, rtol=0, atol=TOLERANCE, err_msg=f"{seed} {view} {width}")


def test_a_shorter_text_is_drawn_under_a_pointer_that_rests(page):
    contents = [content_of(make_trace(text, [1.0] * len(text))).json() for text in ("abcdefgh", "ab")]
    left, top = page.evaluate(
        """([content, view]) => {
            document.body.innerHTML = "<div id=resting></div>";
            window.handle = howfarSpacing.mount(document.getElementById("resting"), content, view);
            const { x, y } = document.querySelector(".panel").getBoundingClientRect();
            return [x, y];
        }""",
        [contents[0], asdict(View())],
    )
    middle = page.evaluate("handle.drawing.middles[1]")
    page.mouse.move(left + page.evaluate("handle.drawing.layout.end[1][7]") - 2, top + middle)
    assert page.inner_text("#resting .readout b") == "h"
    page.evaluate("content => handle.update(content)", contents[1])
    assert page.locator("#resting .readout b").count() == 0


MOUNT = """([content, view]) => {
    document.body.innerHTML = "<div id=alone><details><summary></summary><div class=scroll></div></details></div>";
    window.handle = howfarSpacing.mount(document.getElementById("alone"), content, view);
}"""


def test_one_is_in_the_singular(page):
    page.evaluate(MOUNT, [content_of(make_trace("aéb", [1.0, 0.25, 0.75, 0.5])).json(), asdict(View())])
    page.evaluate("handle.select(0)")
    assert "layer 0: 1 position, 1.6 of an average step" in page.inner_text("#alone .readout")
    page.evaluate("handle.select(1)")
    assert "layer 0: 1 position = 0.25 + 0.75, 0.8 of" in page.inner_text("#alone .readout")
    page.evaluate("handle.select(2)")
    assert "layer 0: 0.5 positions," in page.inner_text("#alone .readout")


def test_the_table_of_two_texts_has_no_numbers_where_a_text_has_no_character(page):
    traces = [make_trace(text, [1.5] * len(text)) for text in ("abx", "abcy")]
    page.evaluate(MOUNT, [content_of(traces[0], beside=traces[1]).json(), asdict(View())])
    page.click("#alone summary")
    page.wait_for_selector("#alone tbody tr")
    table = page.eval_on_selector_all(
        "#alone tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [table[0][place] for place in (0, 3, 6, 7)] == [
        *("character of A", "character of B", "A layer 0, positions", "B layer 0, positions"),
    ]
    assert [(row[0], row[3]) for row in table[1:]] == [("a", "a"), ("b", "b"), ("x", "c"), ("", "y")]
    assert table[-1][:3] == ["", "", ""]
    assert table[-1][6:] == ["", "1.5"]


def test_what_is_selected_is_the_token_in_which_the_character_lies(page):
    words = make_trace("the cat", [1, 2], token_bytes=[(0, 3), (3, 7)], model_name="words")
    content = content_of(make_trace("the cat", np.ones(7), model_name="bytes"), beside=words)
    said, frames = page.evaluate(
        """([content, view]) => {
            const root = document.body.appendChild(document.createElement("div"));
            const handle = howfarSpacing.mount(root, content, view);
            handle.select(4);
            return [root.querySelector(".readout").textContent, root.querySelectorAll(".marks rect").length];
        }""",
        [content.json(), View(rows="all").json()],
    )
    assert "ccharacter 5, U+0063" in said
    assert "␣cattoken 2, U+0020 U+0063 U+0061 U+0074" in said
    assert frames == 3


def test_a_long_text_is_coloured_by_kind_at_once(page):
    content = content_of(make_trace("ab " * 10_000, [1.0, 1.1, 1.3] * 10_000), has_words=False).json()
    milliseconds = page.evaluate(
        "content => { const begun = performance.now(); howfarSpacing.draw(content, "
        "{ scale: 'raw', colour: 'kind', rows: 'all' }, 1100); return performance.now() - begun; }",
        content,
    )
    assert milliseconds < 5_000


def moving(chromium, text, steps):
    """A page with a picture whose steps can be moved, and the content."""
    content = content_of(make_trace(text, steps)).json()
    page = chromium.new_page()
    page.set_content("<div class=howfar></div>")
    page.evaluate(script(moving=True))
    page.evaluate(
        """([content, view]) => {
            window.factors = {};
            const onMove = (layer, slot, factor) => { factors[`${layer}:${slot}`] = factor; };
            const options = { edits: () => factors, onMove };
            window.content = content;
            window.handle = howfarSpacing.mountMoving(document.querySelector(".howfar"), content, view, options);
        }""",
        [content, View().json()],
    )
    return page


def test_the_ghost_of_a_step_that_is_cut_is_cut_too(chromium):
    page = moving(chromium, "abcdefgh" * 3, [1, 1, 200, *[1] * 21])
    page.evaluate("""() => {
        const moved = gaps => gaps.map((gap, slot) => slot ? gap : 5 * gap);
        const rows = content.rows.map(row => row.isPlain ? row : { ...row, gaps: moved(row.gaps) });
        handle.update({ ...content, rows }, handle.view, content);
    }""")
    marks = re.findall(r"M(\S+) \S+h(\S+?)(?=M|$)", page.get_attribute(".ghost", "d"))
    widest = page.evaluate("handle.drawing.layout.end[1][2] - handle.drawing.layout.before[1][2]")
    assert max(float(length) for _, length in marks) == pytest.approx(widest, abs=1)
    page.close()


def test_arrows_move_along_a_text_that_is_read_from_right_to_left(chromium):
    page = moving(chromium, "שלום", [1.0] * 8)
    page.focus(".look > .picture")
    place = "handle.drawing.layout.letters[0][handle.selected]"
    page.keyboard.press("Home")
    first = page.evaluate(place)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("handle.selected") == 1
    assert page.evaluate(place) < first
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("factors") == {"0:1": 1.25}
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("factors") == {"0:1": 1}
    page.keyboard.press("ArrowRight")
    assert page.evaluate("handle.selected") == 0
    page.close()


def test_a_step_is_multiplied_by_hand_only_until_the_model_answers(chromium):
    page = moving(chromium, "aéb", [[1.0, 2, 3, 4], [2.0, 4, 6, 8]])
    drawn = "handle.drawing.content.rows.slice(1).map(row => [row.gaps[1], row.parts[1]])"
    page.evaluate("handle.select(1)")
    page.locator("select.layer").select_option("all")
    page.evaluate(
        "window.slide = value => { const one = document.querySelector('.factor'); one.value = value; "
        "one.dispatchEvent(new Event('input')); }"
    )
    page.evaluate("slide(2)")
    assert page.evaluate(drawn) == [[10, [4, 6]], [20, [8, 12]]]
    # The model answers: its second layer makes less of the gap because the first one's has grown.
    page.evaluate("""() => {
        const withGap = (row, gap) => ({ ...row, gaps: row.gaps.with(1, gap), parts: { 1: [gap / 2, gap / 2] } });
        const rows = content.rows.map((row, at) => at ? withGap(row, [10, 16][at - 1]) : row);
        window.answer = { ...content, moves: { "all:1": 2 }, rows };
        handle.update(answer, handle.view, content);
    }""")
    assert page.evaluate(drawn) == [[10, [5, 5]], [16, [8, 8]]]
    page.locator("select.layer").select_option("1")
    page.evaluate("slide(1.5)")
    assert page.evaluate(drawn) == [[10, [5, 5]], [24, [12, 12]]]  # both factors, and the first layer as answered
    page.evaluate("delete factors['1:1'], handle.update({ ...answer, moves: { 'all:1': 0 } }, handle.view, content)")
    assert page.evaluate(drawn) == [[10, [4, 6]], [20, [8, 12]]]  # nothing can be multiplied to undo a factor of 0
    page.close()


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        ([], {}, "No text follows, so only the next prediction can change."),
        ([], {"selected": 2}, f"No text follows {FIRST}, so only the next prediction can change."),
        ([0.0049], {}, "The next character becomes neither harder nor easier to predict, " + WITHIN),
        ([100, 50.4], {}, "The next 2 characters become harder to predict, by 150 nats in total."),
        (
            [100, 50.4],
            {"selected": 31},
            f"The 2 characters after {FIRST} become harder to predict, by 150 nats in total.",
        ),
        ([-2], {"selected": None}, f"The character after {FIRST} becomes easier to predict, by 2 nats in total."),
        (
            [0],
            {"first": 1000, "noun": "token"},
            f"The token after {FAR} becomes neither harder nor easier to predict, {WITHIN}",
        ),
        (
            [0, -0.0123],
            {"isPart": True},
            "The 2 characters that have a changed step before them in the model's window become easier to predict, by "
            "0.012 nats in total.",
        ),
        (
            [1],
            {"isPart": True, "selected": 9},
            "The character that has a changed step before it in the model's window becomes harder to predict, by "
            "1 nat in total.",
        ),
    ],
)
def test_a_change_is_said_in_words(chromium, changes, where, said):
    page = chromium.new_page()
    page.evaluate(script(moving=True))
    asked = [sum(changes), len(changes), {"noun": "character", "first": 5, "selected": 5, "isPart": False, **where}]
    assert page.evaluate("asked => howfarSpacing.effectInWords(...asked)", asked) == said
    page.close()

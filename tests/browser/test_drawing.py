"""The page's script draws what Python draws, from the same numbers."""

import json
import re
from dataclasses import asdict

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
    "👩‍🔬",
    "🇪🇬",
    "<",
    "&",
    '"',
    "\u202e",
    "e\u0301",
]
SCALES = ("layer-mean", "raw", "shared", "contrast")
COLOURS = ("gap", "rank", "surprisal", "entropy", "kind", "difference")
FAKE_MODEL = """async ([source, picture]) => {
    const listeners = {};
    window.values = { picture, theme: "light", selected: '{"cell": 2, "when": 0}', box: "Text" };
    window.sent = [];
    window.hear = message => listeners["msg:custom"](message);
    window.set = (name, value) => { values[name] = value; listeners[`change:${name}`]?.(); };
    const on = (name, listener) => { listeners[name] = listener; };
    const model = { get: name => values[name], set, save_changes() {}, send: message => sent.push(message), on };
    const module = await import(`data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`);
    module.default.render({ model, el: document.body });
}"""


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
        other = random_trace(seed + NUM_TRACES)[0] if seed % 5 == 0 else None
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


def test_the_explorers_module_follows_numbers_and_gives_the_selection_back(chromium):
    live = pytest.importorskip("howfar.explorer.live")
    pictures = [
        json.dumps({"content": content_of(make_trace(text, [1.0] * len(text))).json(), "view": View().json()})
        for text in ("abcdef", "Zebra")
    ]
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.evaluate(FAKE_MODEL, [live.module(), *pictures])
        page.wait_for_selector(".howfar-live[data-revision]")
        assert "“abcdef”" in page.locator(".howfar-live").get_attribute("aria-label")
        page.focus(".howfar-live")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("values.clicked[0]") == 3
        page.evaluate("picture => set('picture', picture)", pictures[1])
        assert "“Zebra”" in page.locator(".howfar-live").get_attribute("aria-label")
        assert page.inner_text(".readout b") == "r"  # the selection stays
        page.evaluate("set('picture', '')")
        assert page.locator(".howfar-live").count() == 0


def test_an_older_selection_does_not_undo_the_readers_choice(chromium):
    live = pytest.importorskip("howfar.explorer.live")
    picture = json.dumps({"content": content_of(make_trace("abcdef", [1.0] * 6)).json(), "view": View().json()})
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.evaluate(FAKE_MODEL, [live.module(), picture])
        page.focus(".howfar-live")
        page.keyboard.press("ArrowRight")
        cell, when = page.evaluate("values.clicked")
        assert cell == 3
        for other, at, shown in ((1, when - 1, "d"), (3, when, "d"), (4, when, "e"), (0, when + 1, "a")):
            page.evaluate("value => set('selected', JSON.stringify(value))", {"cell": other, "when": at})
            assert page.inner_text(".readout b") == shown


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


def test_a_box_is_filled_as_by_typing(chromium):
    live = pytest.importorskip("howfar.explorer.live")
    picture = json.dumps({"content": content_of(make_trace("a", [1.0])).json(), "view": View().json()})
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.evaluate(FAKE_MODEL, [live.module(), picture])
        page.evaluate(
            """() => {
                window.heard = [];
                for (const name of ["Text", "Second text"]) {
                    const area = document.createElement("marimo-text-area");
                    const shadow = area.attachShadow({ mode: "open" });
                    shadow.innerHTML = `<label for=box>${name}</label><textarea id=box>old</textarea>`;
                    document.body.append(area);
                }
                document.addEventListener("input", event => heard.push(event.composedPath()[0].value), true);
            }"""
        )
        page.evaluate(
            "value => set('filled', JSON.stringify(value))", {"texts": {"Second text": "", "Text": "new\n图"}}
        )
        assert [box.input_value() for box in page.locator("textarea").all()] == ["new\n图", ""]
        assert page.evaluate("heard") == ["", "new\n图"]
        assert [message["typed"] for message in page.evaluate("sent") if "typed" in message] == ["new\n图"]
        page.evaluate("value => set('filled', JSON.stringify(value))", {"texts": {"Text": "new\n图", "None": "x"}})
        assert page.evaluate("heard.length") == 2


def test_one_typed_text_is_sent_at_a_time_and_then_the_latest(chromium):
    live = pytest.importorskip("howfar.explorer.live")
    picture = json.dumps({"content": content_of(make_trace("a", [1.0])).json(), "view": View().json()})
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.set_content("<label>Text<textarea></textarea></label><label>Other<textarea></textarea></label>")
        page.evaluate(FAKE_MODEL, [live.module(), picture])
        typed = "sent.map(({ typed }) => typed).filter(text => text !== undefined)"
        page.locator("textarea").first.press_sequentially("abcd")
        page.locator("textarea").last.press_sequentially("x")  # another picture's box
        assert page.evaluate(typed) == ["a"]
        page.evaluate("hear({ isDrawn: true })")
        assert page.evaluate(typed) == ["a", "abcd"]
        page.evaluate("hear({ isDrawn: true })")
        page.locator("textarea").first.press_sequentially("e")
        assert page.evaluate(typed) == ["a", "abcd", "abcde"]


def test_what_is_typed_while_the_explorers_model_writes_stays(chromium):
    live = pytest.importorskip("howfar.explorer.live")
    content = content_of(make_trace("ab", [1.0, 1.0])).json()
    picture = json.dumps({"content": content, "view": View().json(), "text": "ab", "ends": [1, 2], "revision": 0})
    answer = json.dumps({"text": "abx", "content": content, "revision": 0})
    tell = "([answer]) => hear({ told: JSON.stringify({ ...JSON.parse(answer), when: sent.at(-1).asked.when }) })"
    with chromium.new_context(offline=True) as context:
        page = context.new_page()
        page.set_content("<label>Text<textarea></textarea></label>")
        page.evaluate(FAKE_MODEL, [live.module(), picture])
        page.wait_for_function("() => sent.at(-1)?.asked")
        page.evaluate(tell, [json.dumps({"expected": [], "revision": 0})])
        page.click(".write")
        page.wait_for_function("() => sent.at(-1).asked.text === 'ab'")
        page.evaluate(tell, [answer])
        assert page.evaluate("sent.at(-1).asked.text") == "abx"
        page.fill("textarea", "mine")
        page.evaluate("sent.sort((one, other) => Boolean(one.asked) - Boolean(other.asked))")  # the question comes last
        assert page.evaluate("sent.some(({ typed }) => typed === 'mine')")
        page.evaluate(tell, [answer])
        assert page.inner_text(".write") == "Continue writing from here"
        assert page.input_value("textarea") == "mine"


def moving(chromium, text, steps):
    """A page with a picture whose steps can be moved, and the content."""
    content = content_of(make_trace(text, steps)).json()
    page = chromium.new_page()
    page.set_content("<div class=howfar></div>")
    page.evaluate(script(moving=True))
    page.evaluate(
        """([content, view]) => {
            window.factors = {};
            const onMove = (layer, slot, factor) => { factors[slot] = factor; };
            const options = { factorAt: (layer, slot) => factors[slot] ?? 1, onMove };
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
    assert page.evaluate("factors") == {"1": 1.25}
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("factors") == {"1": 1}
    page.keyboard.press("ArrowRight")
    assert page.evaluate("handle.selected") == 0
    page.close()

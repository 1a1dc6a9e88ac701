import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from howfar.charts.spacing import spacing
from howfar.charts.spacing.terminal import MOST_PANELS, TerminalView, wrap
from howfar.reading import Trace
from support.traces import make_trace


def printed(trace: Trace, width: int = 80, colours: str | None = None, **options) -> str:
    console = Console(width=width, color_system=colours, force_terminal=True)
    picture = spacing(trace, **{"scale": "raw", "rows": "all", **options})
    with console.capture() as capture:
        console.print(TerminalView(picture.content, picture.view))
    return capture.get()


def test_the_text_stands_once_and_blocks_are_as_high_as_steps():
    lines = printed(make_trace("abcd", [0.25, 1, 4, 1])).splitlines()
    assert lines[0].strip() == "abcd"
    assert lines[1].split() == ["plain", "every", "step", "1", "▄▄▄▄"]
    assert lines[2].split() == ["layer", "0", "mean", "1.56", "±92%", "▁▄█▄"]
    assert lines[2].index("▁") == lines[0].index("a")
    assert "abcd" not in "".join(lines[1:])


@pytest.mark.parametrize("text", ["Пет 居里 a", "مرحبا a", "👩\u200d🔬 x 🇪🇬"])
def test_the_plain_row_is_even_in_every_script(text):
    line = printed(make_trace(text, np.ones(len(text.encode())))).splitlines()[1]
    assert set(line.split()[-1]) == {"▄"}


def test_wide_characters_take_two_columns_and_their_bytes_add_up():
    lines = printed(make_trace("中文", [1, 1, 1, 4, 4, 4])).splitlines()
    assert cell_len(lines[0]) == cell_len(lines[2])
    assert lines[2].endswith("▄▄██")


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int):
    text = "It was a bright cold day in April, 今天天气很好 and the clocks were striking. " * 3
    increments = np.random.default_rng(0).uniform(0.01, 10, (3, len(text.encode())))
    assert max(cell_len(line) for line in printed(make_trace(text, increments), width).splitlines()) <= width


def test_a_long_text_is_cut_and_said_so():
    lines = printed(make_trace("a" * 1000, [1.0] * 1000)).splitlines()
    assert sum(line.startswith("plain") for line in lines) == MOST_PANELS
    shown = sum(line.count("a") for line in lines if set(line.strip()) == {"a"})
    assert lines[-1] == f"the first {shown:,} of 1,000 characters; the picture has all"


def test_colour_changes_nothing_but_colour():
    trace = make_trace("abcd", [1, 1, 4, 1])
    plain, coloured = printed(trace), printed(trace, colours="truecolor")
    assert "\x1b[38" not in plain
    assert "\x1b[38" in coloured
    assert plain.split("step, over")[1].startswith(" a plain one: ▁ ≤ ½   ▄ 1   █ ≥ 2")


def test_nearly_even_rows_are_one_strip():
    trace = make_trace("abcd", [[1, 4, 1, 1], [1, 1.01, 1, 1], [1, 1, 1, 1.01]])
    assert "layers 1–2  even to ±" in printed(trace, rows="auto", scale="layer-mean")


def test_a_text_cannot_command_the_terminal():
    out = printed(make_trace("a\x1b[2Jb\u202e\x9b", [1] * 11))
    assert "\x1b[2J" not in out
    assert "\u202e" not in out
    assert "\x9b" not in out
    assert r"\x1b" in out
    assert "U+202E" in out


@given(st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=1, max_size=60), st.integers(16, 80))
def test_stretches_hold_every_character_once_and_fit(slots: list[tuple[int, bool]], room: int):
    widths = [width for width, _ in slots]
    bounds = list(wrap(widths, room, [is_pause for _, is_pause in slots]))
    assert [slot for first, stop in bounds for slot in range(first, stop)] == list(range(len(widths)))
    assert all(sum(widths[first:stop]) <= room for first, stop in bounds)


def test_a_stretch_ends_after_a_word_where_one_ends_near_its_end():
    text = "every step was one to me and no step at all was slow"
    bounds = list(wrap([1] * len(text), 24, [character == " " for character in text]))
    assert [text[first:stop] for first, stop in bounds] == [
        "every step was one to ",
        "me and no step at all ",
        "was slow",
    ]
    assert list(wrap([1] * 40, 24, [False] * 40)) == [(0, 24), (24, 40)]


def test_a_token_stands_below_its_characters_in_a_terminal():
    words = make_trace("the cat", [1, 2], token_bytes=[(0, 3), (3, 7)], model_name="words")
    first, second = printed(make_trace("the cat", np.ones(7), model_name="bytes"), beside=words).splitlines()[:2]
    assert first == second
    assert first.strip() == "the cat"

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from howfar.charts.rows import Row
from howfar.charts.terminal import MOST_PANELS, TerminalView, place
from howfar.reading import Trace
from support.traces import make_trace


def printed(trace: Trace, width: int = 80, colours: str | None = None) -> str:
    console = Console(width=width, color_system=colours, force_terminal=True)
    with console.capture() as capture:
        console.print(TerminalView(trace, scale="raw"))
    return capture.get()


def test_gaps_are_columns():
    lines = printed(make_trace("abcd", [1, 1, 4, 1])).splitlines()
    steps = 2 / ((4 + 7) / 8)  # two columns a character on average, over both rows
    ends = [line[len("layer 0  ") :].index(character) + 1 for line in lines[:2] for character in "abcd"]
    assert ends == [round(steps * at) for at in (1, 2, 3, 4, 1, 2, 6, 7)]


def test_wide_characters_take_two_columns_and_their_bytes_add_up():
    lines = printed(make_trace("中文", [1, 1, 1, 2, 2, 2])).splitlines()
    assert cell_len(lines[1]) > cell_len(lines[0])
    assert lines[1].split() == ["layer", "0", "中", "文"]


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int):
    text = "It was a bright cold day in April, 今天天气很好 and the clocks were striking. " * 3
    increments = np.random.default_rng(0).uniform(0.01, 10, (3, len(text.encode())))
    assert max(cell_len(line) for line in printed(make_trace(text, increments), width).splitlines()) <= width


def test_a_long_text_is_cut_and_said_so():
    lines = printed(make_trace("a" * 1000, [1.0] * 1000)).splitlines()
    plain = [line.removeprefix("plain") for line in lines if line.startswith("plain")]
    assert len(plain) == MOST_PANELS
    shown = sum(line.count("a") for line in plain)
    assert lines[-1] == f"the first {shown:,} of 1,000 characters; the picture has all"


def test_colour_changes_nothing_but_colour():
    trace = make_trace("abcd", [1, 1, 4, 1])
    plain = printed(trace)
    assert "\x1b[1;38" not in plain
    assert "\x1b[1;38" in printed(trace, colours="truecolor")
    assert "twice or more" in printed(trace, colours="truecolor")
    assert "twice or more" not in plain  # nothing is coloured, so there is nothing to explain


def test_a_text_cannot_command_the_terminal():
    out = printed(make_trace("a\x1b[2Jb\u202e\x9b", [1] * 11))
    assert "\x1b[2J" not in out
    assert "\u202e" not in out
    assert "\x9b" not in out
    assert r"\x1b" in out
    assert "U+202E" in out


@given(st.lists(st.tuples(st.floats(-2, 12), st.integers(1, 2)), min_size=1, max_size=60), st.integers(16, 80))
def test_characters_never_overlap_nor_leave_their_panel(cells: list[tuple[float, int]], room: int):
    gaps, widths = np.array([gap for gap, _ in cells]), np.array([width for _, width in cells])
    row = Row("x", "", 1.0, gaps.cumsum(), gaps, gaps.astype(np.float32))
    first = 0
    for starts in place([row], widths, room):
        here = widths[first : first + starts.shape[1]]
        assert (starts[0] >= 0).all()
        assert (np.diff(starts[0]) >= here[:-1]).all()
        assert starts[0, -1] + here[-1] <= room
        first += starts.shape[1]
    assert first == len(widths)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from howfar.charts.terminal import MOST_CELLS, TerminalView, _columns
from howfar.tracing import Trace


def make_trace(text: str, increments: list[float]) -> Trace:
    data = text.encode()
    tokens = np.arange(len(data))
    nats = np.ones(len(data), np.float32)
    return Trace(
        text=text,
        token_ids=np.frombuffer(data, np.uint8).astype(np.int64),
        token_bytes=np.stack([tokens, tokens + 1], axis=1),
        layers=(0,),
        increments=np.array(increments, np.float32)[None, None],
        mark_increments=np.ones((1, 1), np.float32),
        surprisal_nats=nats,
        entropy_nats=nats,
        config=None,
        model_name="known",
        context=512,
        overlap=128,
    )


def printed(trace: Trace, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None, record=False)
    with console.capture() as capture:
        console.print(TerminalView(trace, scale="raw"))
    return capture.get().splitlines()


def test_a_wide_gap_is_a_wide_gap():
    lines = printed(make_trace("abcd", [1, 1, 4, 1]))
    assert lines[0].endswith("a b c d")
    assert lines[1].endswith("a b       c d")


def test_wide_characters_take_two_columns_and_their_bytes_add_up():
    lines = printed(make_trace("中文", [1, 1, 1, 2, 2, 2]))
    assert lines[0].endswith("中 文")
    assert lines[1].endswith("中    文")
    assert cell_len(lines[1]) == cell_len(lines[0]) + 3


def test_no_line_is_wider_than_the_terminal():
    text = "It was a bright cold day in April, and the clocks were striking. " * 3
    increments = np.random.default_rng(0).uniform(0.1, 4, len(text)).tolist()
    assert max(cell_len(line) for line in printed(make_trace(text, increments), width=60)[:-3]) <= 60


def test_a_long_text_is_cut_and_said_so():
    lines = printed(make_trace("a" * 1000, [1.0] * 1000))
    assert (
        sum(line.count("a") for line in lines if line.startswith("plain"))
        - sum(line.startswith("plain") for line in lines)
        == MOST_CELLS
    )
    assert lines[-1].startswith(f"the first {MOST_CELLS} of 1,000 characters")


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(1, 2)), min_size=1, max_size=30))
def test_characters_never_overlap_and_stand_no_earlier_than_their_gaps_say(cells: list[tuple[float, int]]):
    gaps, widths = (np.array(part) for part in zip(*cells, strict=True))
    columns = _columns(gaps.astype(float), widths.astype(np.int64))
    assert columns[0] == 0
    assert (np.diff(columns) >= widths[:-1]).all()
    assert (columns >= np.round(np.cumsum(gaps) - gaps[0])).all()


@pytest.mark.parametrize("colours", [None, "truecolor"])
def test_colour_changes_nothing_but_colour(colours: str | None):
    console = Console(width=80, color_system=colours, force_terminal=True)
    with console.capture() as capture:
        console.print(TerminalView(make_trace("abcd", [1, 1, 4, 1]), scale="raw"))
    assert ("\x1b[" in capture.get()) == (colours is not None)

import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest

from howfar.charts import beside
from howfar.charts.spacing import spacing
from howfar.errors import ConfigError
from support.traces import make_trace

TRACE = make_trace("ab", [1.0, 2.0])


@pytest.fixture
def drawn_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes what is drawn in this process."""
    noted: list[str] = []

    def draw_here(trace, format, options):
        noted.append(format)
        return b"drawn here"

    monkeypatch.setattr(beside, "draw", draw_here)
    return noted


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) == before


def test_another_process_draws_the_same_picture(drawn_here: list[str]):
    expected = spacing(TRACE, scale="raw").render("html")
    with beside.drawing_beside("html") as begin:
        assert begin(TRACE, scale="raw")() == expected
    assert drawn_here == []


def test_what_cannot_be_drawn_there_is_said_here(drawn_here: list[str]):
    with beside.drawing_beside("svg") as begin, pytest.raises(ConfigError, match="there is no layer 7"):
        begin(TRACE, layer=7)()
    assert drawn_here == []


def test_a_process_that_does_not_live_is_done_without(drawn_here: list[str]):
    with beside.drawing_beside("svg") as begin:
        (child,) = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGKILL)
        assert begin(TRACE)() == b"drawn here"
    assert drawn_here == ["svg"]


def test_a_defect_there_is_raised_here(drawn_here: list[str], capfd: pytest.CaptureFixture[str]):
    with beside.drawing_beside("svg") as begin:
        assert begin("no trace at all")() == b"drawn here"
    assert drawn_here == ["svg"]
    assert capfd.readouterr().err == ""

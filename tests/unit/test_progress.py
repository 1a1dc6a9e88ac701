"""Progress bars: for people, and for nobody else."""

import io

import pytest
from rich.console import Console

from howfar.progress import bars_on, progress_bars


@pytest.mark.parametrize("unit", ["steps", "bytes"])
def test_bars_are_drawn_on_terminals_only(unit: str) -> None:
    for terminal, quiet in ((True, False), (False, False), (True, True)):
        console = Console(file=io.StringIO(), force_terminal=terminal, quiet=quiet, width=100)
        with bars_on(console, unit) as bars:  # type: ignore[arg-type]
            task = bars.add_task("reading", total=4_000)
            bars.update(task, completed=1_000)
        assert isinstance(console.file, io.StringIO)
        drawn = console.file.getvalue()
        assert ("reading" in drawn) == (terminal and not quiet)
        if drawn:
            assert ("1.0/4.0 kB" if unit == "bytes" else "1000/4000") in drawn


def test_work_that_does_not_know_how_much_there_is_can_be_watched(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as begin:
        for task in ("one", "two"):
            advance = begin(task)
            advance(3, 0)
            advance(5, 4)
    assert capsys.readouterr().err == ""

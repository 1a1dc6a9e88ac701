"""Progress bars on standard error, for work that says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

Progress = Callable[[int, int], None]
"""What work calls with how much of it is done and how much there is; the second is 0 where that is not known."""

Unit = Literal["steps", "bytes"]


def bars_on(console: Console, unit: Unit = "steps", *, transient: bool = False) -> Bars:
    """Make bars that are drawn where the console is a terminal that a person sees."""
    from rich import progress

    counted = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    columns = counted if unit == "bytes" else (progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *columns,
        progress.TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=console.quiet or not console.is_terminal,
    )


@contextmanager
def progress_bars(unit: Unit = "steps", *, visible: bool = True) -> Iterator[Callable[[str], Progress]]:
    """Draw a bar for the task at hand while the block works.

    Args:
        unit: What is counted.
        visible: Whether to draw anything.

    Yields:
        What is to be called with the next task's name; it gives what is to be called as the task advances.
    """
    from rich.console import Console

    with bars_on(Console(stderr=True, quiet=not visible), unit, transient=True) as bars:

        def begin(what: str) -> Progress:
            for finished in bars.task_ids:
                bars.remove_task(finished)
            task = bars.add_task(what, total=None)
            return lambda done, total: bars.update(task, completed=min(done, total or done), total=total or None)

        yield begin

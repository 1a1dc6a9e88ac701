"""Progress bars on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

Progress = Callable[[int, int], None]
"""Called with how much of a task is done and how much there is; the second is 0 if it is unknown."""

Unit = Literal["steps", "bytes"]
Item = TypeVar("Item")


def followed(
    items: Iterable[Item], progress: Progress | None, total: int, size: Callable[[Item], int] = lambda item: 1
) -> Iterator[Item]:
    """Yield items, and report after each how much of `total` is done.

    Args:
        items: The items.
        progress: Called after each; None for nobody.
        total: How much there is.
        size: How much of it an item is.
    """
    done = 0
    for item in items:
        yield item
        done += size(item)
        if progress is not None:
            progress(min(done, total), total)


def bars_on(console: Console, unit: Unit = "steps", *, transient: bool = False) -> Bars:
    """Make progress bars, which are drawn only on a terminal."""
    from rich import progress

    counted = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    columns = counted if unit == "bytes" else (progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *columns,
        progress.TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=console.quiet or not console.is_terminal,
    )


@contextmanager
def progress_bars(unit: Unit = "steps", *, visible: bool = True) -> Iterator[Callable[[str], Progress]]:
    """Draw a progress bar for the current task while the block runs.

    Args:
        unit: The unit of progress.
        visible: Whether to draw anything.

    Yields:
        A function that starts a task of the given name and returns the `Progress` to call as the task advances.
    """
    from rich.console import Console

    with bars_on(Console(stderr=True, quiet=not visible), unit, transient=True) as bars:

        def begin(what: str) -> Progress:
            for finished in bars.task_ids:
                bars.remove_task(finished)
            task = bars.add_task(what, total=None)
            return lambda done, total: bars.update(task, completed=min(done, total or done), total=total or None)

        yield begin

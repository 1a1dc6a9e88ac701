"""Progress bars on standard error, for work that says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Progress]]:
    """Draw a bar for the task at hand while the block works.

    Yields:
        What is to be called with the next task's name; it gives what is to be called with how much of the task is done
        and how much there is.
    """
    from rich.console import Console
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:

        def begin(what: str) -> Progress:
            for finished in bars.task_ids:
                bars.remove_task(finished)
            task = bars.add_task(what, total=None)
            return lambda done, total: bars.update(task, completed=min(done, total), total=total)

        yield begin

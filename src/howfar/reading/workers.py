"""Reading by several processes: batches are handed out in order, and their results taken back in the same order.

    with read_by(Pool(2)):                # any measure, trace or loss in this block is read so
        for (pool, reading) in read_pools(reader, pools, windows_of, "losses"):

Batches are those of one process and so are the numbers. What is handed out is bounded, and so is memory, however long
the text is. A worker loads the model by its name, once, and refuses one whose weights are not those of the model here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from howfar.positions.attachment import positions_of
from howfar.reading.readings import Kept, Reading
from howfar.reading.same import SameModel
from howfar.reading.windows import Window

if TYPE_CHECKING:
    from howfar.reading.reader import Reader

Item = TypeVar("Item")
Function = Callable[..., Any]
"""Of a reader and whatever else; to be found by its module and name."""

AHEAD = 4
"""Batches that are handed out for each worker, read or not."""


class Workers(Protocol):
    """What reads: processes of this machine, or tasks of a cluster."""

    @property
    def number(self) -> int:
        """How many batches are read at a time."""

    def submit(self, function: Function, *arguments: Any) -> Any:
        """Hand out work; what is given back has a `result`, which is waited for."""


_workers: ContextVar[Workers | None] = ContextVar("workers", default=None)


@contextmanager
def read_by(workers: Workers | None) -> Iterator[None]:
    """Let what is read in a block be read by workers; by this process where None."""
    before = _workers.set(workers)
    try:
        yield
    finally:
        _workers.reset(before)


def in_order(
    reader: Reader, function: Function, jobs: Iterable[tuple[Item, tuple[Any, ...] | None]], *, here: bool = False
) -> Iterator[tuple[Item, Any]]:
    """Do a function of a reader and a job's arguments for each job, by workers where there are some.

    A model whose increments are overridden or recorded here is read here, for workers could not know of that.

    Args:
        reader: The reader; a worker makes one like it.
        function: Whose results are small enough to be sent; a `Reading` is sent without its windows.
        jobs: What each is called here, and its arguments; None where there is nothing to do. They are taken as they are
            needed.
        here: Read here in any case.

    Yields:
        For each job, in order: what it is called, and the result.

    Raises:
        WorkersError: Workers were lost, or cannot have the model.
    """
    workers, positions = _workers.get(), positions_of(reader.model)
    if here or workers is None or (positions is not None and positions.is_observed):
        for item, arguments in jobs:
            yield item, None if arguments is None else function(reader, *arguments)
        return
    there = type(reader), SameModel.of(reader.model), reader.settings
    waiting: deque[tuple[Item, Any]] = deque()
    for item, arguments in jobs:
        handed = None if arguments is None else workers.submit(work, *there, function, arguments)
        waiting.append((item, handed))
        while len(waiting) > AHEAD * workers.number:
            yield _taken(*waiting.popleft())
    while waiting:
        yield _taken(*waiting.popleft())


def _taken(item: Item, handed: Any) -> tuple[Item, Any]:
    return item, None if handed is None else handed.result()


def work(
    kind: Callable[..., Reader], same: SameModel, settings: dict[str, Any], function: Function, arguments: Sequence[Any]
) -> Any:
    """What a worker does with a job."""
    return function(kind(same.load(), **settings), *arguments)


def read_pools(
    reader: Reader,
    pools: Iterable[Item],
    windows_of: Callable[[Item], Iterable[Window]],
    *keep: Kept,
) -> Iterator[tuple[Item, Reading | None]]:
    """Read the windows of some pools, each in batches of like lengths.

    Args:
        reader: What reads.
        pools: Whatever has windows. They are taken as they are needed, or a little sooner where there are workers.
        windows_of: The windows of one.
        *keep: As for `Reader.read`. Attention is too large to be sent, so it is read here.

    Yields:
        Each pool with its readings, one by one, and with None when it has no more.
    """

    def jobs() -> Iterator[tuple[tuple[Item, Sequence[Window]], tuple[Any, ...] | None]]:
        for pool in pools:
            for batch in reader.batches(windows_of(pool), "attention" in keep):
                yield (pool, batch), (batch, *keep)
            yield (pool, ()), None

    for (pool, batch), reading in in_order(reader, _read, jobs(), here="attention" in keep):
        yield pool, reading if reading is None else replace(reading, windows=batch)


def _read(reader: Reader, batch: Sequence[Window], *keep: Kept) -> Reading:
    return reader.read_together(batch, *keep)

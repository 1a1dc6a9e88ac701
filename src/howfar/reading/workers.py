"""Reading by several processes: batches are sent to workers, and their results come back in the same order.

    with work_by(Pool(2)):                # any measure, trace or loss in this block uses the workers
        for pool, reading in read_pools(reader, pools, windows_of, "losses"):

Batches are the same as in one process, so the numbers are the same. The number of waiting batches is limited, so memory
does not grow with the text. A worker loads the model by name, once, and refuses it if its weights differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from howfar.jobs.workers import Item, current_workers
from howfar.jobs.workers import in_order as results_in_order
from howfar.positions.attachment import positions_of
from howfar.reading.readings import Kept, Reading
from howfar.reading.same import SameModel
from howfar.reading.windows import Window

if TYPE_CHECKING:
    from howfar.reading.reader import Reader

Function = Callable[..., Any]
"""A function of a reader and further arguments, defined at the top level of a module, so that it can be pickled."""


def in_order(
    reader: Reader, function: Function, jobs: Iterable[tuple[Item, tuple[Any, ...] | None]], *, here: bool = False
) -> Iterator[tuple[Item, Any]]:
    """Call a function of a reader for each job, by workers if there are any; results come in the order of the jobs.

    If increments are overridden or recorded in this process, this process reads, because workers would not know.

    Args:
        reader: The reader; each worker makes an equal one.
        function: Its results should be small, because they are sent to this process.
        jobs: For each job, a label and the function's further arguments, or None for a job that is only passed on.
            They are taken one by one.
        here: Whether to call the function in this process in any case.

    Yields:
        For each job, its label and the function's result.

    Raises:
        WorkersError: Workers were lost, or cannot load the model.
    """
    workers, positions = current_workers(), positions_of(reader.model)
    if here or workers is None or (positions is not None and positions.is_observed):
        for item, arguments in jobs:
            yield item, None if arguments is None else function(reader, *arguments)
        return
    common = type(reader), SameModel.of(reader.model), reader.settings, function
    calls = ((item, None if arguments is None else (*common, arguments)) for item, arguments in jobs)
    yield from results_in_order(workers, run_job, calls)


def run_job(
    kind: Callable[..., Reader], same: SameModel, settings: dict[str, Any], function: Function, arguments: Sequence[Any]
) -> Any:
    """Call a function in a worker, with a reader of the same kind, model and settings."""
    return function(kind(same.load(), **settings), *arguments)


def read_pools(
    reader: Reader,
    pools: Iterable[Item],
    windows_of: Callable[[Item], Iterable[Window]],
    *keep: Kept,
) -> Iterator[tuple[Item, Reading | None]]:
    """Read the windows of pools, each pool in batches of windows of similar length.

    Args:
        reader: The reader.
        pools: Any objects that have windows; taken one by one, with workers a little ahead.
        windows_of: Gives the windows of a pool.
        *keep: As for `Reader.read`. Attention is too large to send, so this process reads it.

    Yields:
        Each pool with each of its readings, and with None after its last one.
    """

    def jobs() -> Iterator[tuple[tuple[Item, Sequence[Window]], tuple[Any, ...] | None]]:
        for pool in pools:
            for batch in reader.batches(windows_of(pool), "attention" in keep):
                yield (pool, batch), (batch, *keep)
            yield (pool, ()), None

    for (pool, batch), reading in in_order(reader, type(reader).read_together, jobs(), here="attention" in keep):
        yield pool, reading if reading is None else replace(reading, windows=batch)

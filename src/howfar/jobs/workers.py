"""Work for several processes: jobs are sent to workers, and their results come back in the same order.

    with work_by(Pool(2)):                       # any reading or corpus build in this block uses the workers
        for label, result in in_order(current_workers(), function, jobs):

The number of waiting jobs is limited, so memory does not grow with the text.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from howfar.errors import WorkersError
from howfar.foreign import first_line

Item = TypeVar("Item")
Function = Callable[..., Any]
"""A function that is defined at the top level of a module, so that its name can be sent."""

AHEAD = 4
"""Jobs per worker that are submitted before the first result is awaited."""


class Workers(Protocol):
    """Processes of this machine, or tasks of a cluster."""

    @property
    def number(self) -> int:
        """How many jobs run at a time."""

    def submit(self, function: Function, *arguments: Any) -> Any:
        """Start a job; the `result` method of the returned object waits for it."""

    def share(self, value: Any) -> Any:
        """Send a large value once per process; jobs that get the returned object as an argument call `received`.

        Raises:
            WorkersError: The value cannot be sent.
        """


_workers: ContextVar[Workers | None] = ContextVar("workers", default=None)


@contextmanager
def work_by(workers: Workers | None) -> Iterator[None]:
    """Use workers for all reading and building in the block; where None, this process does the work."""
    before = _workers.set(workers)
    try:
        yield
    finally:
        _workers.reset(before)


def current_workers() -> Workers | None:
    """The workers of the enclosing `work_by`; None if there are none."""
    return _workers.get()


def in_order(
    workers: Workers, function: Function, jobs: Iterable[tuple[Item, tuple[Any, ...] | None]], *, shares: int = 1
) -> Iterator[tuple[Item, Any]]:
    """Have workers call a function for each job; results come in the order of the jobs.

    Args:
        workers: The workers.
        function: Its results should be small, because they are sent to this process.
        jobs: For each job, a label and the function's arguments, or None for a job that is only passed on. They are
            taken one by one.
        shares: How many calls of this function share the workers; each has that part of the waiting jobs.

    Yields:
        For each job, its label and the function's result.

    Raises:
        WorkersError: Workers were lost.
    """
    most = max(workers.number, AHEAD * workers.number // shares)
    waiting: deque[tuple[Item, Any]] = deque()
    for item, arguments in jobs:
        waiting.append((item, None if arguments is None else workers.submit(function, *arguments)))
        while len(waiting) > most:
            yield _awaited(*waiting.popleft())
    while waiting:
        yield _awaited(*waiting.popleft())


def _awaited(item: Item, job: Any) -> tuple[Item, Any]:
    return item, None if job is None else job.result()


def packed(value: Any) -> bytes:
    """A value as bytes, for `Workers.share`.

    Raises:
        WorkersError: The value cannot be sent.
    """
    try:
        return pickle.dumps(value)
    except Exception as error:  # objects raise what they like
        raise WorkersError(
            f"{type(value).__name__} cannot be sent to workers ({first_line(error)}); work without workers"
        ) from error


@lru_cache(2)
def received(data: bytes) -> Any:
    """In a worker: the value that was shared, made once per process.

    Raises:
        WorkersError: It cannot be made in this process.
    """
    try:
        return pickle.loads(data)
    except Exception as error:  # for example, its class is in a module that only the other process has
        raise WorkersError(
            f"a worker cannot use what was sent to it ({first_line(error)}); work without workers"
        ) from error

"""Worker processes on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from howfar.errors import WorkersError
from howfar.jobs.starting import begin_work, worker_context
from howfar.jobs.workers import packed

MAX_RETRIES = 3
"""How often a job is retried after its worker was killed."""

_READING = "howfar.reading.reader"
"""Imports everything that reading through a model needs; a corpus build does without it."""

_shared: list[bytes] = []
"""In a worker: what its pool shares."""


class Pool(AbstractContextManager["Pool"]):
    """Worker processes that share the machine's threads, unless OMP_NUM_THREADS sets the number of threads of each.

    A context manager. Processes start with the first job and exit when their parent does. If one is killed, its job is
    retried by another.

    Args:
        number: Number of processes.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._executor: ProcessPoolExecutor | None = None
        self._shared: list[bytes] = []
        self._modules: set[str] = set()
        self._has_torch = False

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Job:
        """Start a job; its `result` waits for it."""
        return Job(self, (function, *arguments))

    def share(self, value: Any) -> Shared:
        """Send a value once to each process; jobs get it as bytes, for `howfar.jobs.workers.received`.

        Raises:
            WorkersError: The value cannot be sent.
        """
        data = packed(value)
        if data not in self._shared:
            self._shared.append(data)
            self._modules.add(type(value).__module__)
            self._end()  # processes get what is shared when they start
        return Shared(self._shared.index(data))

    def start(self, call: tuple[Any, ...]) -> Future[Any]:
        """Send a call to a process; if the processes have ended because one was killed, to new ones."""
        if not self._has_torch and "torch" in sys.modules:
            self._end()  # new processes share PyTorch's threads
        executor = self._executor or self._begin(call[0])
        try:
            return executor.submit(*call)
        except BrokenProcessPool:
            self._end()
            return self._begin(call[0]).submit(*call)

    def _begin(self, function: Callable[..., Any]) -> ProcessPoolExecutor:
        needed = {function.__module__, *self._modules, *({_READING} & sys.modules.keys())}
        context = worker_context(*sorted(needed - {"__main__"}))
        self._has_torch = "torch" in sys.modules
        given = (self.number if self._has_torch else 0, self._shared)
        self._executor = ProcessPoolExecutor(self.number, mp_context=context, initializer=_prepare, initargs=given)
        return self._executor

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None


@dataclass
class Job:
    """A function call that a worker process runs."""

    pool: Pool
    call: tuple[Any, ...]
    future: Future[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.future = self.pool.start(self.call)

    def result(self) -> Any:
        """Wait for the call, and return or raise what it did.

        Raises:
            WorkersError: Its process was killed, and so were those of all retries.
        """
        for _ in range(MAX_RETRIES):
            try:
                return self.future.result()
            except BrokenProcessPool:
                self.future = self.pool.start(self.call)
        try:
            return self.future.result()
        except BrokenProcessPool:
            raise WorkersError(
                f"workers were killed {MAX_RETRIES + 1} times at the same job, probably for lack of memory; give "
                f"fewer than {self.pool.number} workers"
            ) from None


@dataclass(frozen=True)
class Shared:
    """A shared value, by its number; a worker sees its bytes instead."""

    number: int

    def __reduce__(self) -> Any:
        return _bytes_of, (self.number,)


def _bytes_of(number: int) -> bytes:
    return _shared[number]


def _prepare(sharers_of_threads: int, shared: list[bytes]) -> None:
    """Set up a new process."""
    begin_work(sharers_of_threads, lambda: os._exit(1))
    _shared[:] = shared

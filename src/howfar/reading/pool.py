"""Processes of this machine that read."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, Self

from howfar.errors import WorkersError

LOST_WORKERS = 3
"""How often work is begun again whose worker was lost."""


class Pool:
    """Processes that divide the machine's threads, unless OMP_NUM_THREADS says how many each may have.

    A context manager. Processes begin when there is work; they end by themselves when this one is no more. What a
    process was doing that is killed is done by another one.

    Args:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        # Processes are forked from one that has the modules and has not touched a GPU.
        self._context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
        if sys.platform != "win32":
            self._context.set_forkserver_preload(["howfar.reading.reader"])
        self._executor = self._new()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Work:
        """Hand out work; its `result` is waited for."""
        return Work(self, (function, *arguments))

    def begin(self, job: tuple[Any, ...]) -> Future[Any]:
        """Hand work to a process; to new ones where all have ended because one was killed."""
        try:
            return self._executor.submit(*job)
        except BrokenProcessPool:
            self._executor.shutdown()
            self._executor = self._new()
            return self._executor.submit(*job)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.number, mp_context=self._context, initializer=_begin, initargs=(self.number,))


@dataclass
class Work:
    """What was handed out."""

    pool: Pool
    job: tuple[Any, ...]
    future: Future[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.future = self.pool.begin(self.job)

    def result(self) -> Any:
        """Wait for it, and raise what it raised.

        Raises:
            WorkersError: Its process was killed, and so were those that tried again.
        """
        for _ in range(LOST_WORKERS):
            try:
                return self.future.result()
            except BrokenProcessPool:
                self.future = self.pool.begin(self.job)
        try:
            return self.future.result()
        except BrokenProcessPool:
            raise WorkersError(
                f"a worker was killed {LOST_WORKERS + 1} times at the same work, as it is where memory is short; give "
                f"fewer than {self.pool.number} workers"
            ) from None


def _begin(number: int) -> None:
    """Prepare a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal all get it; the one that started them ends them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // number))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

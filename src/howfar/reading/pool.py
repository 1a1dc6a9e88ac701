"""Worker processes on this machine."""

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

MAX_RETRIES = 3
"""How often a job is retried after its worker was killed."""


class Pool:
    """Worker processes that share the machine's threads, unless OMP_NUM_THREADS sets the number of threads of each.

    A context manager. Processes start with the first job and exit when their parent does. If one is killed, its job is
    retried by another.

    Args:
        number: Number of processes.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        # Processes are forked from a server that has imported the modules and has not touched a GPU.
        self._context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
        if sys.platform != "win32":
            self._context.set_forkserver_preload(["howfar.reading.reader"])
        self._executor = self._new()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Job:
        """Start a job; its `result` waits for it."""
        return Job(self, (function, *arguments))

    def start(self, call: tuple[Any, ...]) -> Future[Any]:
        """Send a call to a process; if the processes have ended because one was killed, to new ones."""
        try:
            return self._executor.submit(*call)
        except BrokenProcessPool:
            self._executor.shutdown()
            self._executor = self._new()
            return self._executor.submit(*call)

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.number, mp_context=self._context, initializer=_prepare, initargs=(self.number,))


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


def _prepare(number: int) -> None:
    """Set up a new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // number))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

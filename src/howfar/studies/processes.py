"""Work in processes of this machine: so many at once, each with a log of its own, all told to end together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from howfar.errors import HowFarError
from howfar.foreign import first_line
from howfar.training.termination import EXIT_CODE

SECONDS_TO_SAVE = 30
"""For work that is told to end."""

SAVED = "it was told to end, and saved itself"
"""What is said of work that ended when it was told to."""

Ended = tuple[str, str | None]
"""The name of a piece of work, and what went wrong with it in one line; None if nothing did."""


class Processes:
    """Does work in processes of this machine; a context manager that tells what still runs to save itself and end.

    Each process divides the machine's threads with the others, unless OMP_NUM_THREADS says how many it may have. It
    ends by itself when the process that started it is no more, saving what it has.

    Args:
        function: The work, of one argument; to be found by its module and name.
        at_once: How many processes may work at a time.
        preload: Modules that all of them need.
    """

    def __init__(self, function: Callable[[Any], None], *, at_once: int, preload: tuple[str, ...] = ()) -> None:
        self.capacity: float = at_once
        self._function = function
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        # Processes are forked from one that has the modules and has not touched a GPU.
        self._context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
        if preload and sys.platform != "win32":
            self._context.set_forkserver_preload([*preload])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> tuple[str, ...]:
        """The names of all work that has not been seen to end."""
        return tuple(self._running)

    def start(self, name: str, argument: Any, log: Path) -> None:
        """Begin a piece of work; what it prints goes to the end of the log."""
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (self._function, argument, log, theirs, self.capacity)
        process = self._context.Process(target=_run, args=arguments, name=name)
        process.start()
        theirs.close()
        self._running[name] = process, ours

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """Wait until at least one piece of work has ended, or for so long; give all that have."""
        wait([process.sentinel for process, _ in self._running.values()], seconds)
        return [self._end(name) for name, (process, _) in [*self._running.items()] if not process.is_alive()]

    def stop(self) -> list[Ended]:
        """Tell all to end, at the same time; what has not saved itself soon is ended."""
        for process, _ in self._running.values():
            process.terminate()
        until = time.monotonic() + SECONDS_TO_SAVE
        for process, _ in self._running.values():
            process.join(max(0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
        return [self._end(name) for name in [*self._running]]

    def _end(self, name: str) -> Ended:
        process, said = self._running.pop(name)
        process.join()
        error = None
        if process.exitcode:
            with suppress(EOFError, OSError):
                error = said.recv() if said.poll() else None
            error = error or _ending(process.exitcode)
        said.close()
        process.close()
        return name, error


def _ending(code: int) -> str:
    """What became of a process that could not say it itself."""
    if code == EXIT_CODE:
        return SAVED
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _run(function: Callable[[Any], None], argument: Any, log: Path, said: Connection, at_once: int) -> None:
    """Do the work in its process."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal all get it; the one that started them tells them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // at_once))
    try:
        function(argument)
    except Exception as error:
        is_ours = isinstance(error, HowFarError)
        line = str(error) if is_ours else f"{type(error).__name__}: {first_line(error)}"
        said.send(line)  # first: the disk of the log may be full
        print(f"error: {error}" if is_ours else traceback.format_exc(), file=sys.stderr, flush=True)
        sys.exit(2)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)

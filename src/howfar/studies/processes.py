"""Work in processes on this machine: a few at a time, each with its own log, all stopped together."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from howfar.errors import HowFarError
from howfar.files import FULL, refused_by_name
from howfar.foreign import first_line
from howfar.jobs.starting import begin_work, worker_context
from howfar.training.termination import EXIT_CODE

SECONDS_TO_SAVE = 30
"""Seconds that stopping work has to save itself."""

SAVED = "it was stopped, and saved itself"
"""The message about work that ended on request."""

Ended = tuple[str, str | None]
"""The name of a piece of work, and its error in one line; None if it succeeded."""


class Processes(AbstractContextManager["Processes"]):
    """Executes work in processes on this machine; a context manager that asks running work to save itself and end.

    The processes share the machine's threads, unless OMP_NUM_THREADS sets a number for each. A process
    saves itself and ends when the process that started it is gone.

    Args:
        function: The work; takes one argument and must be importable by module and name.
        at_once: The most processes that work at the same time.
        preload: Modules that all of them need.
    """

    def __init__(self, function: Callable[[Any], None], *, at_once: int, preload: tuple[str, ...] = ()) -> None:
        self.capacity: float = at_once
        self._function = function
        self._running: dict[str, tuple[BaseProcess, Connection]] = {}
        self._context = worker_context(*preload)

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> tuple[str, ...]:
        """The names of all work that is not known to have ended."""
        return tuple(self._running)

    def start(self, name: str, argument: Any, log: Path) -> None:
        """Start a piece of work; its output is appended to the log.

        Raises:
            OutputError: The log's folder cannot be made.
        """
        with refused_by_name(log.parent):
            log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (self._function, argument, log, theirs, self.capacity)
        process = self._context.Process(target=_run, args=arguments, name=name)
        process.start()
        theirs.close()
        self._running[name] = process, ours

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """Wait until at least one piece of work has ended, or for the given time; returns all that have."""
        wait([process.sentinel for process, _ in self._running.values()], seconds)
        return [self._end(name) for name, (process, _) in [*self._running.items()] if not process.is_alive()]

    def stop(self) -> list[Ended]:
        """Ask all to end, at the same time; then kill what has not saved itself soon."""
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
    """What happened to a process that could not report it."""
    if code == EXIT_CODE:
        return SAVED
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _run(function: Callable[[Any], None], argument: Any, log: Path, said: Connection, at_once: int) -> None:
    """Do the work, in its process."""
    begin_work(at_once, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        with refused_by_name(log):
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode=0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        function(argument)
    except Exception as error:
        is_ours = isinstance(error, HowFarError)
        said.send(_error_line(error, log))  # first: the disk of the log may be full
        with suppress(OSError):
            print(f"error: {error}" if is_ours else traceback.format_exc(), file=sys.stderr, flush=True)
        sys.exit(2)


def _error_line(error: Exception, log: Path) -> str:
    """What went wrong, in one line."""
    if isinstance(error, HowFarError):
        return str(error)
    if isinstance(error, OSError) and error.errno in FULL:  # at a line of the log, for example
        return f"{error.filename or log} cannot be written ({error.strerror}); make room, and start the command again"
    return f"{type(error).__name__}: {first_line(error)}"

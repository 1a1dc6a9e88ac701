"""Printing for commands: in any terminal, and so that a failure to print loses nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from howfar.errors import OutputError
from howfar.foreign import harmless, harmless_json

if TYPE_CHECKING:
    from rich.console import Console


def accept_all_characters() -> None:
    """Print a `?` for a character that the output's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


def say(line: str, *, err: bool = False) -> None:
    """Print one line; control characters in foreign strings are escaped."""
    typer.echo(harmless(line), err=err)


def say_json(value: Any) -> None:
    """Print a value as one line of JSON in the output's encoding; control characters in foreign strings are escaped."""
    typer.echo(harmless_json(value, encoding=getattr(sys.stdout, "encoding", None) or "utf-8"))


def console() -> Console:
    """Make a console on standard output that leaves a closed pipe to its caller; Rich's own ends the process."""
    import rich.console

    class PlainConsole(rich.console.Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    return PlainConsole(highlight=False)


@contextmanager
def printing() -> Iterator[Callable[[], None]]:
    """Print in the block; if standard output fails, continue after the block.

    Yields:
        A function to call at the end: it raises the error of printing, if there was one.
    """
    failed: list[OSError] = []

    def check() -> None:
        if failed:
            raise failed[0] if isinstance(failed[0], BrokenPipeError) else _refusal(failed[0])

    try:
        yield check
        if sys.stdout is not None:  # it may have been closed before the start
            sys.stdout.flush()
    except OSError as error:
        failed.append(error)
        drop_output()


def finish_printing() -> None:
    """Flush standard output.

    Raises:
        BrokenPipeError: The reader of the output has closed it.
        OutputError: It cannot be written.
    """
    with printing() as check:
        pass
    check()


def drop_output() -> None:
    """Write nothing more to standard output, not even when the process ends."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # it is not a file
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _refusal(error: OSError) -> OutputError:
    return OutputError(f"standard output cannot be written ({error.strerror or error}); send it elsewhere")

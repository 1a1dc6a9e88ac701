"""What commands print: in any terminal, and so that a failure to print loses nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from howfar.errors import OutputError
from howfar.foreign import harmless

if TYPE_CHECKING:
    from rich.console import Console


def accept_all_characters() -> None:
    """Print a `?` for a character that the output's encoding lacks, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


def say(line: str, *, err: bool = False) -> None:
    """Print one line, in which strings that others wrote do no harm."""
    typer.echo(harmless(line), err=err)


def console() -> Console:
    """Make a console on standard output that leaves a closed pipe to its caller, where Rich's own ends the process."""
    import rich.console

    class PlainConsole(rich.console.Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    return PlainConsole(highlight=False)


@contextmanager
def printing() -> Iterator[Callable[[], None]]:
    """Print in the block; where standard output fails, go on behind it.

    Yields:
        What is to be called when all else is done: it raises what the block could not.
    """
    failed: list[OSError] = []

    def check() -> None:
        if failed:
            raise failed[0] if isinstance(failed[0], BrokenPipeError) else _refusal(failed[0])

    try:
        yield check
        sys.stdout.flush()
    except OSError as error:
        failed.append(error)
        drop_output()


def finish_printing() -> None:
    """Print what is still held back.

    Raises:
        BrokenPipeError: Whoever read the output has enough of it.
        OutputError: It cannot be written.
    """
    with printing() as check:
        pass
    check()


def drop_output() -> None:
    """Let nothing more be written to standard output, at the end of the process neither."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # it is no file
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _refusal(error: OSError) -> OutputError:
    return OutputError(f"standard output cannot be written ({error.strerror or error}); send it elsewhere")

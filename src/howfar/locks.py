"""One process at a time where two would spoil each other's work; the second is told who is there."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from time import sleep

from filelock import FileLock, Timeout

from howfar.errors import InUseError, OutputError


@contextmanager
def one_at_a_time(file: Path, *, guards: Path, patience_seconds: float = 0) -> Iterator[None]:
    """Hold a lock while the block runs. Whoever comes second is refused.

    The operating system gives the lock back when its process ends in any way, so that a lock file left by a process
    that was killed hinders nobody. The same thread may hold the lock several times over.

    Args:
        file: The lock file: made in an existing folder, removed at the end.
        guards: What is worked on, for the message.
        patience_seconds: How long to wait for whoever came first.

    Raises:
        InUseError: Another process or thread holds the lock.
        OutputError: The lock file cannot be made.
    """
    lock = FileLock(file, is_singleton=True)
    try:
        lock.acquire(timeout=patience_seconds)
    except Timeout:
        raise InUseError(
            f"{guards} is in use by {_holder(file)}; wait until that has ended, or choose another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"{guards} cannot be locked ({error.strerror or error}); choose another folder") from error
    is_outermost = lock.lock_counter == 1
    try:
        if is_outermost:
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
            with suppress(OSError):  # a full disk; the lock holds without a name in it
                file.write_text(json.dumps(holder), encoding="utf-8")
        yield
    finally:
        if is_outermost:
            with suppress(OSError):  # some systems do not remove what is open
                file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    """Who wrote the lock file, in words; whoever took the lock a moment ago has yet to write it."""
    for _ in range(40):
        with suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(file.read_text(encoding="utf-8"))
            return f"process {int(holder['pid'])} on {holder['host']!r} since {holder['since']}"
        sleep(0.05)
    return "another process"

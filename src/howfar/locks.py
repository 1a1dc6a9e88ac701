"""Locks: one process at a time works in a folder; a second one is told which process holds the lock."""

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
    """Hold a lock while the block runs.

    The operating system releases the lock when its process ends, so the lock file of a killed process does no harm. The
    same thread may acquire the lock repeatedly.

    Args:
        file: The lock file: created in an existing folder, removed at the end.
        guards: The path that the lock protects, for the message.
        patience_seconds: How long to wait for another holder.

    Raises:
        InUseError: Another process or thread holds the lock.
        OutputError: The lock file cannot be created.
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
            with suppress(OSError):  # for example a full disk; the lock holds without the holder's name
                file.write_text(json.dumps(holder), encoding="utf-8")
        yield
    finally:
        if is_outermost:
            with suppress(OSError):  # some systems do not remove open files
                file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    """The process that holds the lock, in words; waits up to 2 seconds for it to write its name."""
    for _ in range(40):
        with suppress(OSError, ValueError, KeyError, TypeError):
            holder = json.loads(file.read_text(encoding="utf-8"))
            return f"process {int(holder['pid'])} on {holder['host']!r} since {holder['since']}"
        sleep(0.05)
    return "another process"

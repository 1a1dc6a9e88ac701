"""Reading files that someone named: a pipe or a device is refused, not waited for."""

from __future__ import annotations

import errno
import json
import stat
from pathlib import Path
from typing import Any


def check_file(path: Path, *, pipes: bool = False) -> None:
    """Refuse to read what is not a file: a pipe may never end and can be read only once; a device may have no end.

    Args:
        path: What is to be read.
        pipes: Whether a pipe is accepted.

    Raises:
        OSError: It is a pipe or a device, or is not there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (pipes and stat.S_ISFIFO(mode))):
        raise OSError(errno.EINVAL, "it is a pipe or a device, no file")


def read_file(path: str | Path, *, pipes: bool = False) -> bytes:
    """Read a file whole; arguments and errors are those of `check_file`."""
    check_file(Path(path), pipes=pipes)
    return Path(path).read_bytes()


def read_json(path: Path) -> Any:
    """Read a file of JSON.

    Raises:
        OSError: As for `read_file`.
        ValueError: It is not JSON.
    """
    try:
        return json.loads(read_file(path))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None

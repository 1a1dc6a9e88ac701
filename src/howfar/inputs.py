"""Reading files that a user named; pipes and devices are refused."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any


def check_file(path: Path, *, pipes: bool = False) -> None:
    """Check that a path is a file or folder. A pipe can be read only once and may never end; a device may have no end.

    Args:
        path: The path.
        pipes: Whether pipes are accepted.

    Raises:
        OSError: The path is a pipe or a device, or does not exist.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (pipes and stat.S_ISFIFO(mode))):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")


def read_file(path: str | Path, *, pipes: bool = False) -> bytes:
    """Read a whole file; arguments and errors are those of `check_file`."""
    check_file(Path(path), pipes=pipes)
    return Path(path).read_bytes()


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; errors are those of `check_file`."""
    check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: As for `read_file`.
        ValueError: The file is not JSON.
    """
    try:
        return json.loads(read_file(path))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def public_name(place: str | Path) -> str:
    """A place's name in what others will see: of an absolute path only its last part, which reveals no local folder."""
    place = _with_name(str(place))
    is_absolute = place.startswith(("/", "~")) or PureWindowsPath(place).is_absolute()
    return (PureWindowsPath(place).name or place) if is_absolute else place  # handles both kinds of slash


def public_names(places: Sequence[str]) -> list[str]:
    """The public names of several places; if two would have one name, with as many folders as tell them apart."""
    named = [_with_name(place) for place in places]
    names = [public_name(place) for place in named]
    deepest = max((len(PureWindowsPath(place).parts) for place in named), default=0)
    for num_parts in range(2, deepest + 1):
        num_places = Counter(name for _, name in set(zip(named, names, strict=True)))
        names = [
            _end(place, num_parts) if num_places[name] > 1 else name for place, name in zip(named, names, strict=True)
        ]
    return names if len(set(names)) == len(set(places)) else list(places)


def _with_name(place: str) -> str:
    """A place whose last part is its name: the whole path of `.` and `..`, which name nothing."""
    return str(Path(place).resolve()) if place and PurePath(place).name in ("", "..") else place


def _end(place: str, num_parts: int) -> str:
    """The last parts of an absolute path."""
    path = PureWindowsPath(place)
    return place if public_name(place) == place else "/".join(path.parts[bool(path.anchor) :][-num_parts:])

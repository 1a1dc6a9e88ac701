"""Whether a checkpoint's files are still what was written: their sizes and SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError
from howfar.models.manifest import sha256


def check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]], *, advice: str) -> None:
    """Compare a folder with its list.

    Args:
        folder: What holds the files. Files that the list does not name are left alone.
        listed: From `describe_files`; a file with a check of its own need only be there.
        advice: What to do about a difference, for the message.

    Raises:
        CheckpointError: A file is missing or altered.
    """
    for name, expected in listed.items():
        file = folder / name
        try:
            size, written = file.stat().st_size, expected.get("bytes")
            wrong = "" if written in (None, size) else f"has {size:,} bytes, {written:,} were written"
            if expected and not wrong and sha256(file) != expected["sha256"]:
                wrong = "has been altered since it was written (its SHA-256 is another)"
        except FileNotFoundError:
            wrong = "is missing"
        except OSError as error:
            wrong = f"cannot be read ({error.strerror})"
        if wrong:
            raise CheckpointError(f"{file} {wrong}; {advice}")

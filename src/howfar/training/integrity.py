"""Check that a checkpoint's files are unchanged: their sizes and SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError
from howfar.models.manifest import sha256


def check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]], *, advice: str) -> None:
    """Compare a folder with its list.

    Args:
        folder: The files' folder. Files that are not in the list are ignored.
        listed: From `describe_files`; a file with a check of its own only needs to exist.
        advice: What to do about a difference, for messages.

    Raises:
        CheckpointError: A file is missing or changed.
    """
    for name, expected in listed.items():
        file = folder / name
        try:
            size, written = file.stat().st_size, expected.get("bytes")
            wrong = "" if written in (None, size) else f"has {size:,} bytes, but {written:,} were written"
            if expected and not wrong and sha256(file) != expected["sha256"]:
                wrong = "has changed since it was written (its SHA-256 differs)"
        except FileNotFoundError:
            wrong = "is missing"
        except OSError as error:
            wrong = f"cannot be read ({error.strerror})"
        if wrong:
            raise CheckpointError(f"{file} {wrong}; {advice}")

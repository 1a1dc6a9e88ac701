"""The storage of a study: a folder on this machine, or any address that fsspec can write to."""

from __future__ import annotations

import glob
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from howfar.errors import MissingExtraError, OutputError
from howfar.files import refused_by_name, write_file
from howfar.training.checkpoints import LOCK, RECORD

RUNS = "runs"


class StudyFolder:
    """A study's folder.

    A local folder is used directly. For any other place (`s3://…`, `gs://…`) a run works in a temporary copy;
    every complete checkpoint is copied to the place, and from there to wherever the run continues.

    Args:
        location: A folder's path, or an fsspec address.

    Raises:
        MissingExtraError: A package that fsspec needs for the address is not installed.
        OutputError: The address cannot be written to.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        self.is_local = "://" not in self.location
        try:
            self.files, self.root = fsspec.core.url_to_fs(self.location)
        except ImportError as error:
            raise MissingExtraError(f"{self.location} cannot be written: {error}; install it with pip") from None
        except ValueError as error:
            raise OutputError(
                f"{self.location} cannot be written ({error}); name a folder, or s3://…, gs://…"
            ) from None

    def path(self, *parts: str) -> str:
        """The path of something in the folder."""
        return "/".join((self.root.rstrip("/"), *parts))

    def glob(self, *parts: str) -> list[str]:
        """The paths in the folder that match a pattern; the folder's own name is no pattern."""
        return [str(path) for path in self.files.glob("/".join((glob.escape(self.root.rstrip("/")), *parts)))]

    def read(self, pattern: str) -> dict[str, dict[str, Any]]:
        """The contents of all readable JSON files whose paths match a pattern, by what its last star matches.

        Raises:
            OutputError: The place does not answer.
        """
        before, _, after = self.path(pattern).rpartition("*")
        with refused_by_name(self.location):
            paths = self.glob(pattern)
            # All at once, if the place can; `cat` would take a path as a pattern.
            contents = self.files.cat_ranges(paths, None, None, on_error="return")
        found = {}
        for path, content in zip(paths, contents, strict=True):
            try:
                value = json.loads(content)
            except (ValueError, TypeError):  # an error instead of the content
                continue
            if isinstance(value, dict):
                found[path[len(before) : len(path) - len(after)]] = value
        return found

    def read_file(self, name: str) -> dict[str, Any]:
        """The content of a JSON file; empty if it is missing or not JSON.

        Raises:
            OutputError: The place does not answer.
        """
        try:
            with refused_by_name(self.location):
                value = json.loads(self.files.cat_file(self.path(name))) if self.files.exists(self.path(name)) else {}
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file, completely or not at all.

        Raises:
            OutputError: It cannot be written.
        """
        with refused_by_name(self.location):
            self._write(self.path(name), (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())

    def _write(self, path: str, content: bytes) -> None:
        """Write a file, completely or not at all; object stores do so anyway."""
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(self.files, LocalFileSystem):
            write_file(path, content)
        else:
            self.files.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """Remove a file if it exists.

        Raises:
            OutputError: It cannot be removed.
        """
        with refused_by_name(self.location):
            if self.files.exists(self.path(name)):
                self.files.rm_file(self.path(name))

    @contextmanager
    def folder_of(self, run: str) -> Iterator[Path]:
        """The folder to train a run in, with everything that is stored of it."""
        if self.is_local:
            yield Path(self.path(RUNS, run))
            return
        with tempfile.TemporaryDirectory(prefix="howfar-") as folder:
            work = Path(folder, run)
            if self.files.exists(self.path(RUNS, run)):
                self.files.get(glob.escape(self.path(RUNS, run)), str(work), recursive=True)
            yield work

    def keep(self, folder: Path, part: Path = Path()) -> None:
        """Copy a run's folder, or a checkpoint in it, to the place; its record last, which marks it as complete.

        Args:
            folder: From `folder_of`; its name is the run's.
            part: The checkpoint, relative to the folder. Earlier ones that are gone are removed from the place too.

        Raises:
            OutputError: It cannot be written.
        """
        if self.is_local:
            return
        source, target = folder / part, self.path(RUNS, folder.name, *part.parts)
        inside = [path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.name != LOCK]
        of_checkpoints = [path for path in inside if any(part.startswith("checkpoint-") for part in path.parts)]
        chosen = [path for path in inside if path not in of_checkpoints and path != Path(RECORD)]
        with refused_by_name(self.location):
            for path in chosen:
                whole = f"{target}/{path.as_posix()}"
                self.files.makedirs(whole.rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(source / path), whole)
            self._write(f"{target}/{RECORD}", (source / RECORD).read_bytes())
            for old in self.glob(RUNS, folder.name, "checkpoint-*") if part.parts else ():
                if not (source.parent / old.rpartition("/")[2]).exists():
                    self.files.rm(glob.escape(old), recursive=True)

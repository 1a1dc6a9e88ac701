"""The progress of a corpus build, on disk, so that a killed build continues where it stopped.

The build folder holds the tokens of both splits and a journal with one fixed-size record per document read. A record
states the outcome of the document, so everything else (how far each source was read, which documents were seen, where
documents begin) follows from the journal. Tokens are flushed before their records; on resuming, both are truncated to
the last document that is complete in both.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from enum import IntEnum
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import SPLITS, SplitName

_BYTES_BETWEEN_FLUSHES = 16 * 2**20
_RECORD = np.dtype(
    [("stream", "<u2"), ("outcome", "u1"), ("digest", "<u8"), ("num_bytes", "<u8"), ("num_tokens", "<u8")]
)
_PACKED = Struct("<HBQQQ")
"""The same record; much faster for one than NumPy."""
TWO_BYTES: np.dtype[Any] = np.dtype("<u2")


class Outcome(IntEnum):
    """The outcome of a document."""

    TRAIN = 0
    HELD_OUT = 1
    DUPLICATE = 2
    """Dropped: its split already has the same text."""
    IN_HELD_OUT = 3
    """Dropped from training: the held-out split has the same text."""
    EMPTY = 4
    NOT_TEXT = 5
    """A file in another encoding than UTF-8, or a picture, for example, among whole files that a pattern found."""


KEPT: dict[Outcome, SplitName] = {Outcome.TRAIN: "train", Outcome.HELD_OUT: "held_out"}


class Record(NamedTuple):
    """One document that was read: its stream, its outcome, and its size (tokens include the end of document)."""

    stream: int
    outcome: Outcome
    digest: int
    num_bytes: int
    num_tokens: int


class Journal(AbstractContextManager["Journal"]):
    """The journal and the token files of one build folder, open for appending.

    Args:
        folder: An existing folder; a new journal is started if it has none.
        end_of_document: The first token of each split.
        dtype: The type that tokens are stored in.
    """

    def __init__(self, folder: Path, end_of_document: int, dtype: np.dtype[Any] = TWO_BYTES) -> None:
        self.folder, self._dtype = folder, dtype
        self._path = folder / "journal"
        for path in (self._path, *self._token_paths().values()):
            path.touch()
        self._recover()
        self._records: BinaryIO = self._path.open("ab")
        self._tokens = {split: path.open("ab", 2**20) for split, path in self._token_paths().items()}
        for file in self._tokens.values():
            if file.tell() == 0:
                file.write(np.array([end_of_document], self._dtype).tobytes())
        self._unflushed = 0

    def append(self, record: Record, tokens: NDArray[np.uint16 | np.uint32] | None = None) -> None:
        """Record a document, with its tokens (end of document included) if it was kept."""
        if tokens is not None:
            data = tokens.tobytes()
            self._tokens[KEPT[record.outcome]].write(data)
            self._unflushed += len(data)
        self._records.write(_PACKED.pack(*record))
        if self._unflushed >= _BYTES_BETWEEN_FLUSHES:
            self.flush()

    def flush(self) -> None:
        """Flush everything to the operating system, tokens first."""
        for file in (*self._tokens.values(), self._records):
            file.flush()
        self._unflushed = 0

    def records(self) -> NDArray[np.void]:
        """All records: a structured array with `stream`, `outcome`, `digest`, `num_bytes`, `num_tokens`."""
        self._records.flush()
        return self._read()

    def __iter__(self) -> Iterator[Record]:
        """Iterate over all records."""
        for stream, outcome, digest, num_bytes, num_tokens in self.records():
            yield Record(int(stream), Outcome(int(outcome)), int(digest), int(num_bytes), int(num_tokens))

    def close(self) -> None:
        """Close the files, tokens first; all of them, even if one cannot be written to its end."""
        with ExitStack() as files:
            for file in (self._records, *self._tokens.values()):
                files.enter_context(file)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def remove(self) -> None:
        """Remove the journal file and keep the tokens."""
        self._path.unlink()

    def _token_paths(self) -> dict[SplitName, Path]:
        return {split: self.folder / f"{split}.bin" for split in SPLITS}

    def _read(self) -> NDArray[np.void]:
        num_records = self._path.stat().st_size // _RECORD.itemsize
        return np.memmap(self._path, _RECORD, "r", shape=(num_records,)) if num_records else np.empty(0, _RECORD)

    def _recover(self) -> None:
        records = self._read()
        num_whole = len(records)
        ends = {}
        for outcome, split in KEPT.items():
            # A split's file begins with one end of document, which no record counts.
            ends[split] = 1 + np.cumsum(np.where(records["outcome"] == outcome, records["num_tokens"], 0))
            present = self._token_paths()[split].stat().st_size // self._dtype.itemsize
            num_whole = min(num_whole, int(np.searchsorted(ends[split], present, side="right")))
        for split, path in self._token_paths().items():
            num_tokens = int(ends[split][num_whole - 1]) if num_whole else 0
            _truncate(path, num_tokens * self._dtype.itemsize)
        del records
        _truncate(self._path, num_whole * _RECORD.itemsize)


class DigestSet:
    """A set of 64-bit digests at 16 to 32 bytes each, a fifth of what a Python set needs (open addressing)."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._count = 0

    def __contains__(self, digest: int) -> bool:
        return self._slots[self._find(digest or 1)] != 0

    def add(self, digest: int) -> None:
        """Add a digest; zero, which marks an empty slot, is stored as one."""
        slot = self._find(digest or 1)
        if self._slots[slot] == 0:
            self._slots[slot] = digest or 1
            self._count += 1
            if 2 * self._count > len(self._slots):
                self._grow()

    def _find(self, digest: int) -> int:
        slots, mask = self._slots, len(self._slots) - 1
        slot = digest & mask
        while slots[slot] not in (0, digest):
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        for digest in old:
            if digest:
                self._slots[self._find(digest)] = digest


def _truncate(path: Path, num_bytes: int) -> None:
    with path.open("r+b") as file:
        file.truncate(num_bytes)

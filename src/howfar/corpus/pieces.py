"""Pieces of a source as they were read: lines, rows or a file, from which any process can make documents."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from howfar.errors import CorpusError, TextError
from howfar.foreign import first_line
from howfar.text.decoding import decode
from howfar.text.tokenizer import utf8_bytes

NOT_TEXT = b"\xff"
"""Stands for a file that is not text, in place of its text; UTF-8 has no such byte."""

_WIDE_SPACES = tuple(chr(code).encode() for code in (0x85, 0xA0, 0x1680, *range(0x2000, 0x2030), 0x205F, 0x3000))


@dataclass(frozen=True)
class Piece(ABC):
    """Whole documents, not yet separated and checked.

    Attributes:
        skip: How many of its first documents are left out, because they were taken before.
    """

    skip: int = field(default=0, kw_only=True)

    def documents(self) -> Iterator[bytes]:
        """Each document's text as valid UTF-8; empty if a table's text is empty or null, else perhaps `NOT_TEXT`.

        Raises:
            CorpusError: A document is not UTF-8, or a row has no text.
        """
        return islice(self._documents(), self.skip, None)

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Its approximate size."""

    @abstractmethod
    def _documents(self) -> Iterator[bytes]: ...


@dataclass(frozen=True)
class Lines(Piece):
    """Lines of a file, with their ends."""

    path: Path
    lines: Sequence[bytes]
    first_line: int

    @property
    def num_bytes(self) -> int:
        """Bytes of its lines."""
        return sum(map(len, self.lines))


@dataclass(frozen=True)
class TextLines(Lines):
    """Lines of a text file, with their ends; one or more blank lines separate documents.

    A line is blank if it is empty or whitespace of any kind. Lines end in a line feed, however they end in the
    file; line ends at a document's end, and a byte order mark, are dropped.
    """

    def _documents(self) -> Iterator[bytes]:
        lines: list[bytes] = []
        first_line = self.first_line
        for number, line in enumerate(self.lines, start=self.first_line):
            text = line.removeprefix(BOM_UTF8) if number == 1 else line
            if not is_blank(text):
                if not lines:
                    first_line = number
                lines.append(text)
            elif lines:
                yield self._document(lines, first_line)
                lines = []
        if lines:
            yield self._document(lines, first_line)

    def _document(self, lines: list[bytes], first_line: int) -> bytes:
        data = b"".join(lines).rstrip(b"\r\n")
        return decode(data, self.path, first_line=first_line).encode()


@dataclass(frozen=True)
class JsonLines(Lines):
    """Lines of a JSONL file: a document in one field of each."""

    column: str

    def _documents(self) -> Iterator[bytes]:
        path, field = self.path, self.column
        for number, line in enumerate(self.lines, start=self.first_line):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:  # the latter if it is nested deeply
                raise CorpusError(
                    f"line {number} of {path} is not JSON ({first_line(error)}); correct or remove it"
                ) from None
            if not isinstance(row, dict) or field not in row:
                has = ", ".join(row) if isinstance(row, dict) else type(row).__name__
                raise CorpusError(f"line {number} of {path} has no field {field!r} (has: {has}); name it: {path}:FIELD")
            yield _text_of_row(row[field], f"line {number} of {path}")


@dataclass(frozen=True)
class Rows(Piece):
    """Values of a table's column of texts: a document in each row."""

    table: str
    values: Sequence[Any]
    first_row: int

    @property
    def num_bytes(self) -> int:
        """Characters of its texts."""
        return sum(len(value) for value in self.values if isinstance(value, str))

    def _documents(self) -> Iterator[bytes]:
        for number, value in enumerate(self.values, start=self.first_row):
            yield _text_of_row(value, f"row {number} of {self.table}")


@dataclass(frozen=True)
class WholeFile(Piece):
    """A file that is one document.

    Attributes:
        path: The file.
        data: Its bytes.
        by_name: Whether it must be text, because it was named. If a pattern or a folder found it, other files are
            `NOT_TEXT`.
    """

    path: Path
    data: bytes
    by_name: bool = field(default=True, kw_only=True)

    @property
    def num_bytes(self) -> int:
        """Bytes of the file."""
        return len(self.data)

    def _documents(self) -> Iterator[bytes]:
        try:
            text = decode(self.data, self.path).encode()
        except CorpusError:
            if self.by_name:
                raise
            text = NOT_TEXT
        yield text


def is_blank(line: bytes) -> bool:
    """Whether a line of UTF-8 is empty or whitespace of any kind."""
    visible = line.strip()
    return not visible or (visible.startswith(_WIDE_SPACES) and not visible.decode("utf-8", "replace").strip())


def _text_of_row(value: Any, where: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise CorpusError(f"{where} holds {type(value).__name__} where text was needed; name the column with the text")
    try:
        return utf8_bytes(value)
    except TextError as error:
        raise CorpusError(f"{where}: {error}") from None

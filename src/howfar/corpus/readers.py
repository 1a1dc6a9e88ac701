"""Read the documents of a source one at a time, as UTF-8 bytes, in constant memory."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from howfar.corpus.kinds import kind_of
from howfar.corpus.sources import HubDataset, LocalFiles, Location
from howfar.errors import CorpusError, MissingExtraError, SourceInterruptedError, TextError
from howfar.foreign import first_line
from howfar.inputs import read_file
from howfar.text.decoding import decode
from howfar.text.tokenizer import utf8_bytes

_ROWS_PER_BATCH = 1024
_BLOCK = 2**20
_WIDE_SPACES = tuple(chr(code).encode() for code in (0x85, 0xA0, 0x1680, *range(0x2000, 0x2030), 0x205F, 0x3000))


def read_documents(location: Location, skip: int = 0) -> Iterator[bytes]:
    """Read documents in their fixed order.

    Args:
        location: The documents' location.
        skip: Number of documents to skip, when a build is resumed.

    Yields:
        Each document's text as valid UTF-8; empty if a table's text is empty or null.

    Raises:
        CorpusError: A file is missing, is not UTF-8, or does not match its suffix; or the Hub cannot be read.
        MissingExtraError: A package that the kind of source needs is not installed.
    """
    if isinstance(location, HubDataset):
        return _read_hub(location, skip)
    return islice(_read_files(location), skip, None)


def read_local_documents(path: Path, column: str = "text") -> Iterator[bytes]:
    """Read a file's documents: those of a text are separated by blank lines, a table has one a row.

    Args:
        path: Text, lines of JSON or Parquet; content and name tell which.
        column: The table's field or column that holds the text.

    Raises:
        CorpusError: It is of another kind, or its content does not match its kind.
        MissingExtraError: It is Parquet and Polars is not installed.
        OSError: It cannot be read.
    """
    kind = kind_of(path)
    if kind == "text":
        return read_text_documents(path)
    return (_read_parquet if kind == "Parquet" else _read_jsonl)(path, column)


def read_text_documents(path: Path) -> Iterator[bytes]:
    """Read a text file's documents, separated by one or more blank lines (empty or whitespace of any kind).

    Line ends inside a document are kept; those at its end, and a byte order mark, are dropped.

    Raises:
        CorpusError: The file is not UTF-8.
        OSError: It cannot be read.
    """
    lines: list[bytes] = []
    first_line = 1
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            text = line.removeprefix(BOM_UTF8) if number == 1 else line
            if not _is_blank(text):
                if not lines:
                    first_line = number
                lines.append(text)
            elif lines:
                yield _document(lines, path, first_line)
                lines = []
    if lines:
        yield _document(lines, path, first_line)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """A file's lines with their ends, of all three kinds."""
    rest = b""
    while block := file.read(_BLOCK):
        *lines, rest = (rest + block).splitlines(keepends=True)
        yield from lines
    yield from rest.splitlines(keepends=True)


def _is_blank(line: bytes) -> bool:
    visible = line.strip()
    return not visible or (visible.startswith(_WIDE_SPACES) and not visible.decode("utf-8", "replace").strip())


def _document(lines: list[bytes], path: Path, first_line: int) -> bytes:
    data = b"".join(lines).rstrip(b"\r\n")
    decode(data, path, first_line=first_line)
    return data


def _read_files(location: LocalFiles) -> Iterator[bytes]:
    for path in location.files():
        try:
            if location.whole_files:
                yield decode(read_file(path), path).encode()
            else:
                yield from read_local_documents(path, location.column)
        except OSError as error:
            raise CorpusError(f"{path} cannot be read ({error.strerror or error}); name a file that can be") from None


def _read_jsonl(path: Path, field: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CorpusError(
                    f"line {number} of {path} is not JSON ({first_line(error)}); correct or remove it"
                ) from None
            if not isinstance(row, dict) or field not in row:
                has = ", ".join(row) if isinstance(row, dict) else type(row).__name__
                raise CorpusError(f"line {number} of {path} has no field {field!r} (has: {has}); name it: {path}:FIELD")
            yield _text_of_row(row[field], f"line {number} of {path}")


def _read_parquet(path: Path, column: str) -> Iterator[bytes]:
    try:
        import polars
    except ImportError:
        raise MissingExtraError("reading Parquet needs polars; pip install polars, or give JSONL or text") from None
    try:
        table = polars.scan_parquet(path, glob=False)
        columns = table.collect_schema().names()
    except polars.exceptions.PolarsError as error:
        raise CorpusError(
            f"{path} cannot be read as Parquet ({first_line(error)}); write or download it again"
        ) from None
    if column not in columns:
        raise CorpusError(f"{path} has no column {column!r} (has: {', '.join(columns)}); name it: {path}:COLUMN")
    row_number = 0
    for batch in table.select(column).collect_batches(chunk_size=_ROWS_PER_BATCH, maintain_order=True):
        for text in batch.to_series():
            row_number += 1
            yield _text_of_row(text, f"row {row_number} of {path}")


def _read_hub(location: HubDataset, skip: int) -> Iterator[bytes]:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(
            "streaming a Hub dataset needs the package datasets; "
            "in the clone of howfar, run: pip install -c constraints.txt '.[hub]'"
        ) from None
    name = f"{location.repository} ({location.config or 'default'}, {location.split})"
    try:
        rows = datasets.load_dataset(location.repository, location.config, split=location.split, streaming=True)
        for number, row in enumerate(rows.skip(skip), start=skip + 1):
            if location.column not in row:
                raise CorpusError(
                    f"the Hub dataset {name} has no column {location.column!r} (has: {', '.join(row)}); "
                    "name it: hub:OWNER/NAME:CONFIG:SPLIT:COLUMN"
                )
            yield _text_of_row(row[location.column], f"row {number} of {name}")
    except CorpusError:
        raise
    except Exception as error:  # the Hub's client fails in many ways: network, names, permissions, formats
        raise SourceInterruptedError(
            f"the Hub dataset {name} cannot be read ({first_line(error)}); check its name and the network, and "
            "start the same command again"
        ) from error


def _text_of_row(value: Any, where: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise CorpusError(f"{where} holds {type(value).__name__} where text was needed; name the column with the text")
    try:
        return utf8_bytes(value)
    except TextError as error:
        raise CorpusError(f"{where}: {error}") from None

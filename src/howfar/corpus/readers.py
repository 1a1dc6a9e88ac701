"""Reading the documents of a source one at a time, as UTF-8 bytes, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from howfar.corpus.sources import HubDataset, LocalFiles, Location
from howfar.errors import CorpusError, MissingExtraError, SourceInterruptedError, TextError
from howfar.foreign import first_line
from howfar.text.tokenizer import utf8_bytes

_ROWS_PER_BATCH = 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_documents(location: Location, skip: int = 0) -> Iterator[bytes]:
    """Read documents in their fixed order.

    Args:
        location: Where they are.
        skip: How many to pass over, when a build is resumed.

    Yields:
        Each document's text as valid UTF-8; empty where a table has an empty text or none.

    Raises:
        CorpusError: A file is missing, is not UTF-8, or is not what its suffix says; or the Hub cannot be read.
        MissingExtraError: A package that the kind of source needs is not installed.
    """
    if isinstance(location, HubDataset):
        return _read_hub(location, skip)
    return islice(_read_files(location), skip, None)


def read_text_documents(path: Path) -> Iterator[bytes]:
    """Read a text file's documents, which are parted by one or more empty lines.

    Line ends inside a document stay as they are; those at its end, and a byte order mark, are left out.

    Raises:
        CorpusError: The file is not UTF-8.
    """
    lines: list[bytes] = []
    first_line = 1
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if text.rstrip(b"\r\n"):
                if not lines:
                    first_line = number
                lines.append(text)
            elif lines:
                yield _checked_utf8(b"".join(lines).rstrip(b"\r\n"), path, first_line)
                lines = []
    if lines:
        yield _checked_utf8(b"".join(lines).rstrip(b"\r\n"), path, first_line)


def _read_files(location: LocalFiles) -> Iterator[bytes]:
    for path in location.files():
        try:
            if location.whole_files:
                yield _checked_utf8(path.read_bytes(), path, 1)
            elif path.suffix == ".jsonl":
                yield from _read_jsonl(path, location.column)
            elif path.suffix == ".parquet":
                yield from _read_parquet(path, location.column)
            else:
                yield from read_text_documents(path)
        except OSError as error:
            raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from None


def _checked_utf8(data: bytes, path: Path, first_line: int) -> bytes:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        raise CorpusError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}; "
            "convert it (iconv -t utf-8) or leave the file out"
        ) from None
    return data


def _read_jsonl(path: Path, field: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CorpusError(f"line {number} of {path} is not JSON ({error}); mend or remove it") from None
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
        raise CorpusError(f"{path} cannot be read as Parquet: {first_line(error)}") from None
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
        raise MissingExtraError("streaming a Hub dataset needs the extra: pip install 'howfar[hub]'") from None
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
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceInterruptedError(f"the Hub dataset {name} cannot be read: {reason}") from error


def _text_of_row(value: Any, where: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise CorpusError(f"{where} holds {type(value).__name__} where text was needed; name the column with the text")
    try:
        return utf8_bytes(value)
    except TextError as error:
        raise CorpusError(f"{where}: {error}") from None

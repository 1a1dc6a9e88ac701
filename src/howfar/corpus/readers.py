"""Read a source piece by piece, or one document at a time, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from howfar.corpus.kinds import kind_of
from howfar.corpus.pieces import JsonLines, Piece, Rows, TextLines, WholeFile, is_blank
from howfar.corpus.sources import HubDataset, LocalFiles, Location
from howfar.errors import CorpusError, HowFarError, MissingExtraError, SourceInterruptedError
from howfar.foreign import first_line
from howfar.imports import import_extra
from howfar.inputs import read_file

_ROWS_PER_BATCH = 1024
_BLOCK = 2**18


def read_documents(location: Location, skip: int = 0) -> Iterator[bytes]:
    """Read documents in their fixed order.

    Args:
        location: The documents' location.
        skip: Number of documents to skip, when a build is resumed.

    Yields:
        Each document's text as valid UTF-8; empty if a table's text is empty or null; `NOT_TEXT` for a whole file that
        is something else, unless it was named.

    Raises:
        CorpusError: A file is missing, is not UTF-8, or does not match its suffix; or the Hub cannot be read.
        MissingExtraError: A package that the kind of source needs is not installed.
    """
    return _documents(read_pieces(location, skip))


def read_pieces(location: Location, skip: int = 0) -> Iterator[Piece]:
    """Read the pieces that hold the documents of `read_documents`, each about a quarter of a megabyte, or one file.

    Raises:
        CorpusError: A file is missing or cannot be read, or does not match its suffix; or the Hub cannot be read.
        MissingExtraError: A package that the kind of source needs is not installed.
    """
    return _hub_pieces(location, skip) if isinstance(location, HubDataset) else _after(_file_pieces(location), skip)


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
    return _documents(_local_pieces(path, column))


def _documents(pieces: Iterable[Piece]) -> Iterator[bytes]:
    return chain.from_iterable(piece.documents() for piece in pieces)


def _after(pieces: Iterable[Piece], skip: int) -> Iterator[Piece]:
    """The pieces after some documents."""
    for piece in pieces:
        if skip:
            num_documents = sum(1 for _ in islice(piece.documents(), skip + 1))
            if num_documents <= skip:
                skip -= num_documents
                continue
        yield replace(piece, skip=skip) if skip else piece
        skip = 0


def _file_pieces(location: LocalFiles) -> Iterator[Piece]:
    for path in location.files():
        try:
            if location.whole_files:
                yield WholeFile(path, read_file(path), by_name=path == Path(location.path))
            else:
                yield from _local_pieces(path, location.column)
        except OSError as error:
            raise CorpusError(f"{path} cannot be read ({error.strerror or error}); name a file that can be") from None


def _local_pieces(path: Path, column: str) -> Iterator[Piece]:
    kind = kind_of(path)
    if kind == "text":
        return _text_pieces(path)
    return (_parquet_pieces if kind == "Parquet" else _json_pieces)(path, column)


def _text_pieces(path: Path) -> Iterator[TextLines]:
    """Lines up to the last blank one of each block of the file, so that no document is cut."""
    waiting: list[bytes] = []
    first = 1
    with path.open("rb") as file:
        for lines in _blocks_of_lines(file):
            end = next((number for number in range(len(lines), 0, -1) if is_blank(lines[number - 1])), 0)
            if end:
                piece = TextLines(path, waiting + lines[:end], first)
                yield piece
                first, waiting = first + len(piece.lines), lines[end:]
            else:
                waiting += lines
    if waiting:
        yield TextLines(path, waiting, first)


def _blocks_of_lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """A file's lines with their ends, of all three kinds; those that end in a block of the file together."""
    waiting: list[bytes] = []
    while block := file.read(_BLOCK):
        waiting.append(block)
        if b"\n" in block or b"\r" in block:  # a line of many blocks is joined once, when it ends
            *lines, rest = b"".join(waiting).splitlines(keepends=True)
            waiting = [rest]
            yield lines
    yield b"".join(waiting).splitlines(keepends=True)


def _json_pieces(path: Path, field: str) -> Iterator[JsonLines]:
    first = 1
    with path.open("rb") as file:
        while lines := file.readlines(_BLOCK):
            yield JsonLines(path, lines, first, field)
            first += len(lines)


def _parquet_pieces(path: Path, column: str) -> Iterator[Rows]:
    try:
        import polars
    except ImportError:
        raise MissingExtraError("reading Parquet needs polars; pip install polars, or give JSONL or text") from None
    try:
        table = polars.scan_parquet(path, glob=False)
        columns = table.collect_schema().names()
        if column not in columns:
            raise CorpusError(f"{path} has no column {column!r} (has: {', '.join(columns)}); name it: {path}:COLUMN")
        first = 1
        for batch in table.select(column).collect_batches(chunk_size=_ROWS_PER_BATCH, maintain_order=True):
            num_rows = _BLOCK * len(batch) // max(_BLOCK, int(batch.estimated_size()))
            for part in batch.iter_slices(max(1, num_rows)):
                yield Rows(str(path), part.to_series().to_list(), first)
                first += len(part)
    except polars.exceptions.PolarsError as error:  # of its beginning, or of rows that are damaged
        raise CorpusError(
            f"{path} cannot be read as Parquet ({first_line(error)}); write or download it again"
        ) from None


def _hub_pieces(location: HubDataset, skip: int) -> Iterator[Rows]:
    name = f"{location.repository} ({location.config or 'default'}, {location.split})"
    values: list[Any] = []
    size, first = 0, skip + 1
    try:
        for value in _hub_values(location, name, skip):
            values.append(value)
            size += len(value) if isinstance(value, str) else 0
            if size >= _BLOCK or len(values) == _ROWS_PER_BATCH:
                yield Rows(name, values, first)
                size, first, values = 0, first + len(values), []
    except HowFarError:
        if values:  # what came before the error
            yield Rows(name, values, first)
        raise
    if values:
        yield Rows(name, values, first)


def _hub_values(location: HubDataset, name: str, skip: int) -> Iterator[Any]:
    """The column of a dataset on the Hub, as its rows arrive."""
    datasets = import_extra("datasets", "streaming a Hub dataset", extra="hub")
    try:
        rows = datasets.load_dataset(location.repository, location.config, split=location.split, streaming=True)
        for row in rows.skip(skip):
            if location.column not in row:
                raise CorpusError(
                    f"the Hub dataset {name} has no column {location.column!r} (has: {', '.join(row)}); "
                    "name it: hub:OWNER/NAME:CONFIG:SPLIT:COLUMN"
                )
            yield row[location.column]
    except CorpusError:
        raise
    except Exception as error:  # the Hub's client fails in many ways: network, names, permissions, formats
        raise SourceInterruptedError(
            f"the Hub dataset {name} cannot be read ({first_line(error)}); check its name and the network, and "
            "start the same command again"
        ) from error

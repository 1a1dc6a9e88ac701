"""Kinds of files that contain documents, told by content and name; other kinds are refused with a helpful command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Literal

from howfar.errors import CorpusError
from howfar.inputs import check_file
from howfar.text.decoding import refuse_other_than_text

Kind = Literal["text", "lines of JSON", "Parquet"]

LINES_OF_JSON = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (*LINES_OF_JSON, ".json", ".parquet")
"""Lower-case suffixes of files whose text field or column can be named."""

_PARQUET = b"PAR1"


def kind_of(path: Path) -> Kind:
    """A file's kind, from its content, and from its name if the content is ambiguous.

    Raises:
        CorpusError: It is compressed, a table of another kind, or not text.
        OSError: It cannot be read.
    """
    check_file(path)
    with path.open("rb") as file:
        beginning = file.read(2**16)
    name, suffix = shlex.quote(str(path)), path.suffix.lower()
    refuse_other_than_text(beginning, path)
    if suffix == ".parquet" or beginning.startswith(_PARQUET):
        return "Parquet"
    if suffix in LINES_OF_JSON:
        return "lines of JSON"
    if suffix == ".json":
        if _is_object(beginning.strip().partition(b"\n")[0]):
            return "lines of JSON"
        raise CorpusError(f"{path} is one JSON document; make lines of it: jq -c '.[]' {name} > {_renamed(path)}")
    if suffix in (".csv", ".tsv"):
        separator = "" if suffix == ".csv" else ", separator='\\t'"
        command = f"import polars; polars.read_csv({str(path)!r}{separator}).write_ndjson({_renamed(path)!r})"
        raise CorpusError(f"{path} is a table; make lines of JSON of it: python -c {shlex.quote(command)}")
    return "text"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _renamed(path: Path) -> str:
    return str(path.with_suffix(".jsonl"))

"""Kinds of files that contain documents, told by content and name; other kinds are refused with a helpful command."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Literal, NoReturn

from howfar.errors import CorpusError
from howfar.inputs import check_file
from howfar.text.decoding import refuse_other_than_text, without_mark

Kind = Literal["text", "lines of JSON", "Parquet"]

LINES_OF_JSON = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (*LINES_OF_JSON, ".json", ".parquet")
"""Lower-case suffixes of files whose text field or column can be named."""

_PARQUET = b"PAR1"
_COLUMNS = {".csv": ",", ".psv": "|", ".tab": "\t", ".tsv": "\t"}
_MARKUP = "markup"
_OTHER = {
    _MARKUP: "atom fb2 htm html mht mhtml rss svg tei tmx xhtml xlf xliff xml",
    "a web archive": "arc warc wat wet",
    "an office document or a book": "azw3 doc docx epub mobi odp ods odt pages pdf ppt pptx ps rtf xls xlsx",
    "subtitles with their times": "ass sbv srt sub vtt",
    "mail with its headers": "eml mbox msg",
    "a table of annotated words": "conll conllu conllx vert",
    "a notebook": "ipynb",
    "a table": "arrow avro db feather h5 hdf5 npy npz orc pickle pkl sqlite",
}
"""Kinds of files that hold texts, but not as plain paragraphs, and their suffixes."""
_KIND_OF_SUFFIX = {f".{suffix}": kind for kind, suffixes in _OTHER.items() for suffix in suffixes.split()}
_MARKUP_BEGINS = re.compile(rb"\s*<(\?xml|!doctype|html|mediawiki|tei|doc|rss|svg)[\s>]", re.IGNORECASE)
_LONGEST_LINE = 2**26
_ARCHIVE_BEGINS = re.compile(rb"WARC/\d")
_LINES_BY_JQ = {b"{": ".", b"[{": ".[]", b'["': ".[]|{text:.}"}
"""What makes lines of JSON objects of one JSON document: of an object, and of an array of objects or of strings."""


def kind_of(path: Path) -> Kind:
    """A file's kind, from its content, and from its name if the content is ambiguous.

    Raises:
        CorpusError: It is compressed, a table of another kind, or not text.
        OSError: It cannot be read.
    """
    check_file(path)
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        beginning = file.read(2**16)
        if suffix == ".json" and b"\n" not in beginning:
            beginning += file.readline(_LONGEST_LINE)
    refuse_other_than_text(beginning, path)
    if suffix == ".parquet" or beginning.startswith(_PARQUET):
        return "Parquet"
    if suffix in LINES_OF_JSON:
        return "lines of JSON"
    if suffix == ".json":
        if _is_object(beginning.strip().partition(b"\n")[0]):
            return "lines of JSON"
        _refuse_other_than_lines(without_mark(beginning), path)
    if separator := _COLUMNS.get(suffix):
        option = "" if separator == "," else f", separator={separator!r}"
        command = f"import polars; polars.read_csv({str(path)!r}{option}).write_ndjson({_renamed(path)!r})"
        raise CorpusError(f"{path} is a table; make lines of JSON of it: python -c {shlex.quote(command)}")
    _refuse_other_than_paragraphs(without_mark(beginning), path)
    return "text"


def _refuse_other_than_lines(beginning: bytes, path: Path) -> NoReturn:
    """Refuse JSON that is not lines of objects, with the command that makes them."""
    if not beginning.strip():
        raise CorpusError(f"{path} is empty; name a file that holds text")
    opening = b"".join(beginning.split())[:2]
    lines = _LINES_BY_JQ.get(opening if opening.startswith(b"[") else opening[:1])
    if lines is None:
        raise CorpusError(
            f"{path} is not lines of JSON objects; make lines of it, each an object with a document in its field text"
        )
    raise CorpusError(
        f"{path} is one JSON document; make lines of it: jq -c {shlex.quote(lines)} {shlex.quote(str(path))} > "
        f"{shlex.quote(_renamed(path))}"
    )


def _refuse_other_than_paragraphs(beginning: bytes, path: Path) -> None:
    """Refuse a text of another form, whose tags, headers or columns would be read as prose."""
    kind = _KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is None and _MARKUP_BEGINS.match(beginning):
        kind = _MARKUP
    elif kind is None and _ARCHIVE_BEGINS.match(beginning):
        kind = "a web archive"
    if kind is not None:
        raise CorpusError(
            f"{path} is {kind}, not plain text; extract its texts to a .txt file, with blank lines between documents, "
            "or to lines of JSON, and name that"
        )
    if _is_object(beginning.strip().partition(b"\n")[0]):
        raise CorpusError(f"{path} begins with a JSON object; if its lines are JSON, rename it to {_renamed(path)}")


def _is_object(line: bytes) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and bool(value)


def _renamed(path: Path) -> str:
    return str(path.with_suffix(".jsonl"))

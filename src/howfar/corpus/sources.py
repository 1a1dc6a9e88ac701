"""The sources of a corpus's documents, and how a command line names them.

A source is written `[NAME=]LOCATION[,held_out=LOCATION]`. A location is one of

- `path/to/articles.txt`: UTF-8 text, documents separated by blank lines; markup, tables and other kinds are refused
- `files:src/**/*.py`: one document per file, whole, with its markup if it has any; line ends become line feeds; files
  that are not UTF-8 text are left out and counted, but a single file that is named must be text
- `path/to/articles.jsonl[:FIELD]`: one JSON object a line (also `.ndjson`); the field is `text` by default
- `path/to/articles.parquet[:COLUMN]`: the column is `text` by default
- `hub:OWNER/NAME[:CONFIG[:SPLIT[:COLUMN]]]`: a Hugging Face dataset, streamed (split `train`, column `text`)

A path may be a file, a folder (all files in it except hidden ones) or a glob; files are read in the order of their
names, each by its suffix. The name, by default the last part of the location that is no pattern, without its suffix, is
the source's name in the corpus; the held-out location gives whole documents that are kept from training.

Examples:
    `en=articles/en_train.txt,held_out=articles/en_dev.txt`, `zh=zh.jsonl:body`, `hub:wikimedia/wikipedia:20231101.en`
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from howfar.corpus.kinds import TABLE_SUFFIXES
from howfar.errors import ConfigError, CorpusError
from howfar.inputs import sha256

WIKIPEDIA = ("en=hub:wikimedia/wikipedia:20231101.en", "zh=hub:wikimedia/wikipedia:20231101.zh")
"""The default recipe: English and Chinese Wikipedia of November 2023."""

_HELD_OUT = ",held_out="
_PATTERN = re.compile(r"[*?\[]")
_NAME = re.compile(r"([\w.-]+)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class LocalFiles:
    """Documents in local files.

    Attributes:
        path: A file, a folder or a glob.
        column: The field of JSONL files and the column of Parquet files that holds the text.
        whole_files: Whether each file is one document.
    """

    path: str
    column: str = "text"
    whole_files: bool = False

    def files(self) -> list[Path]:
        """The files in the order in which they are read.

        Raises:
            CorpusError: There is none.
        """
        path = Path(self.path)
        if path.is_file():
            return [path]
        if path.is_dir():
            base, found = path, path.rglob("*")
        else:
            parts = path.parts
            first_pattern = next((i for i, part in enumerate(parts) if _PATTERN.search(part)), len(parts) - 1)
            base = Path(*parts[:first_pattern])
            found = base.glob(str(Path(*parts[first_pattern:])))
        visible = (file for file in found if not any(part.startswith(".") for part in file.relative_to(base).parts))
        files = sorted(file for file in visible if file.is_file())
        if not files:
            raise CorpusError(f"no file matches {self.path}; give the path of a file, a folder or a glob")
        return files

    def provenance(self) -> dict[str, Any]:
        """The location for a corpus's manifest, also used to recognise it when a build is resumed.

        Raises:
            CorpusError: There is no file, or one cannot be read.
        """
        return {
            "kind": "files",
            "path": self.path,
            "column": self.column,
            "whole_files": self.whole_files,
            "files": [_identity(file) for file in self.files()],
        }


@dataclass(frozen=True)
class HubDataset:
    """Documents of a dataset on the Hugging Face Hub.

    Attributes:
        repository: `OWNER/NAME`.
        config: The dataset's configuration, or None for its only one.
        split: The dataset's split.
        column: The column that holds the text.
    """

    repository: str
    config: str | None = None
    split: str = "train"
    column: str = "text"

    def provenance(self) -> dict[str, Any]:
        """The location for a corpus's manifest, also used to recognise it when a build is resumed."""
        return {"kind": "hub", **vars(self)}


Location = LocalFiles | HubDataset


@dataclass(frozen=True)
class Source:
    """A named stream of documents.

    Attributes:
        name: Its name in the corpus.
        location: Its documents.
        held_out: Its held-out documents, or None to hold out some of `location`'s.
    """

    name: str
    location: Location
    held_out: Location | None = None

    def provenance(self) -> dict[str, Any]:
        """The source for a corpus's manifest."""
        held_out = self.held_out.provenance() if self.held_out else None
        return {"name": self.name, "location": self.location.provenance(), "held_out_location": held_out}


def parse_source(text: str) -> Source:
    """Read a source from its written form (see the module's description).

    Raises:
        ConfigError: It does not have that form.
    """
    location_text, _, held_out_text = text.partition(_HELD_OUT)
    named = _NAME.fullmatch(location_text)
    if named:
        location_text = named[2]
    if not location_text or (_HELD_OUT in text and not held_out_text):
        raise ConfigError(f"source {text!r} has no location; write it as [NAME=]LOCATION[,held_out=LOCATION]")
    location = _parse_location(location_text)
    held_out = _parse_location(held_out_text) if held_out_text else None
    return Source(named[1] if named else _default_name(location), location, held_out)


def file_and_column(text: str) -> tuple[str, str]:
    """A path, and the field or column that is named after it as in `zh.jsonl:body`, by default `text`.

    A file whose whole name has such a colon is that file.
    """
    path, colon, column = text.rpartition(":")
    named = colon and path.lower().endswith(TABLE_SUFFIXES) and not os.path.exists(text)  # noqa: PTH110 - never fails
    return (path, column) if named else (text, LocalFiles.column)


def check_sources(sources: Sequence[Source]) -> None:
    """Refuse a corpus without sources, two sources of one name, and a source's own file held out in another form.

    Raises:
        ConfigError: There are none, two have the same name, or a file would be both trained on and held out.
        CorpusError: A location that must be looked into has no files.
    """
    names = [source.name for source in sources]
    if not names:
        raise ConfigError("a corpus needs at least one source; give one, for example en=articles.txt")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ConfigError(f"two sources are named {repeated.pop()!r}; give each its own name: en=..., zh=...")
    for source in sources:
        _check_forms(source.location, source.held_out)


def _check_forms(location: Location, held_out: Location | None) -> None:
    """Equal documents are told by their text, so a file that is read once whole and once by paragraphs is not."""
    if not (isinstance(location, LocalFiles) and isinstance(held_out, LocalFiles)):
        return
    if location.whole_files == held_out.whole_files:
        return
    own = {file.resolve() for file in location.files()}
    if both := [file for file in held_out.files() if file.resolve() in own]:
        raise ConfigError(
            f"{both[0]} would be trained on and held out, once as one document and once by paragraphs; write files: "
            "before both locations or before neither"
        )


def _parse_location(text: str) -> Location:
    if text.startswith("hub:"):
        return _parse_hub(text)
    if text == "files:":
        raise ConfigError("source 'files:' has no location; write it as files:PATH, for example files:src/**/*.py")
    if text.startswith("files:"):
        return LocalFiles(text.removeprefix("files:"), whole_files=True)
    return LocalFiles(*file_and_column(text))


def _parse_hub(text: str) -> HubDataset:
    repository, *options = text.removeprefix("hub:").split(":")
    if repository.count("/") > 1 or not repository or len(options) > 3:
        raise ConfigError(
            f"Hub source {text!r} is not hub:OWNER/NAME[:CONFIG[:SPLIT[:COLUMN]]]; write it like {WIKIPEDIA[0][3:]}"
        )
    config, split, column = (*options, *[""] * (3 - len(options)))
    return HubDataset(repository, config or None, split or "train", column or "text")


def _identity(file: Path) -> dict[str, Any]:
    """A file's name, size and content; an edited text may have the size of the old one."""
    try:
        return {"name": str(file), "bytes": file.stat().st_size, "sha256": sha256(file)}
    except OSError as error:
        raise CorpusError(f"{file} cannot be read ({error.strerror}); name a file that can be read") from None


def _default_name(location: Location) -> str:
    if isinstance(location, HubDataset):
        return location.config or location.repository.rpartition("/")[2]
    path = Path(os.path.abspath(location.path))  # noqa: PTH100 - "." and ".." have no names; links keep theirs
    named = [part for part in path.parts if not _PATTERN.search(part)]
    return path.stem if path.exists() or not _PATTERN.search(location.path) else Path(named[-1]).stem

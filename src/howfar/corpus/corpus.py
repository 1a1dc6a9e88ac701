"""A corpus on disk: documents as tokens, in a training part and a held-out part.

A corpus is a folder with, for each split (`train`, `held_out`):

- `SPLIT.bin`: the tokens, little-endian uint16 (uint32 if the vocabulary has more than 65,536 ids);
- `SPLIT.offsets.npy`, `SPLIT.sources.npy` and `SPLIT.bytes.npy`: tables of the documents, as `Split` describes them.

The folder also has `corpus.json`, written last: the tokenizer, the sources, counts, and each file's SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, Literal, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from howfar.errors import CorpusError
from howfar.inputs import read_json, sha256

FORMAT = "howfar-corpus"
FORMAT_VERSION = 1
MANIFEST = "corpus.json"
SplitName = Literal["train", "held_out"]
SPLITS: tuple[SplitName, ...] = ("train", "held_out")


def split_files(split: str) -> tuple[str, str, str, str]:
    """The file names of a split: tokens, document offsets, document sources, document bytes."""
    return f"{split}.bin", f"{split}.offsets.npy", f"{split}.sources.npy", f"{split}.bytes.npy"


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The type in which tokens are stored."""
    return np.dtype("<u2" if vocabulary_size <= 2**16 else "<u4")


@dataclass(frozen=True)
class Split:
    """One part of a corpus, memory-mapped from disk.

    Attributes:
        name: `train` or `held_out`.
        tokens: uint16 or uint32 `[token]`: an end-of-document token, then every document, each followed by one.
        offsets: uint64 `[documents + 1]`, the start of each document in `tokens`; the last entry is `len(tokens)`.
        sources: uint16 `[documents]`, each document's index into `source_names`.
        num_bytes: uint64 `[documents]`, the length of each document's UTF-8 text in bytes.
        source_names: The corpus's sources, in the order of its specification.
    """

    name: str
    tokens: NDArray[np.uint16 | np.uint32]
    offsets: NDArray[np.uint64]
    sources: NDArray[np.uint16]
    num_bytes: NDArray[np.uint64]
    source_names: tuple[str, ...]

    @property
    def num_documents(self) -> int:
        """Number of documents."""
        return len(self.sources)

    def document(self, index: int) -> NDArray[np.uint16 | np.uint32]:
        """A document's tokens, without the end-of-document token; negative indices count from the end."""
        index = range(self.num_documents)[index]
        return self.tokens[int(self.offsets[index]) : int(self.offsets[index + 1]) - 1]

    def source_of(self, index: int) -> str:
        """The name of a document's source."""
        return self.source_names[int(self.sources[index])]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # A worker process gets the path of the tokens, not a copy of them.
        if isinstance(self.tokens, np.memmap) and self.tokens.filename is not None:
            return _reopen_split, (Path(self.tokens.filename).parent, self.name)
        return super().__reduce_ex__(protocol)


@dataclass(frozen=True)
class Corpus:
    """An opened corpus.

    Attributes:
        folder: Its folder.
        manifest: The contents of `corpus.json`.
        train: The training documents; there may be none.
        held_out: The held-out documents; there may be none.
    """

    folder: Path
    manifest: Mapping[str, Any]
    train: Split
    held_out: Split

    def __repr__(self) -> str:
        train, held_out = self.train.num_documents, self.held_out.num_documents
        return f"Corpus({str(self.folder)!r}, {train:,} training and {held_out:,} held-out documents)"

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a corpus. Only the files' sizes are checked; `verify` checks their contents.

        Raises:
            CorpusError: The folder is missing or not a finished corpus, or a file is missing, truncated or foreign.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        try:
            train, held_out = (_open_split(folder, split, manifest) for split in SPLITS)
            corpus = cls(folder, manifest, train, held_out)
            corpus.tokenizer_name, corpus.end_of_document  # noqa: B018 - read here so that it cannot fail later
        except (AttributeError, KeyError, TypeError):
            raise CorpusError(f"{folder / MANIFEST} is malformed; build the corpus again") from None
        return corpus

    @property
    def hash(self) -> str:
        """A SHA-256 over the content: equal for equal tokens, documents and sources, wherever they are stored."""
        return str(self.manifest["hash"])

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer that made the tokens: `bytes`, or a Transformers name or path."""
        return str(self.manifest["tokenizer"]["name"])

    @property
    def end_of_document(self) -> int:
        """The token id that separates documents."""
        return int(self.manifest["tokenizer"]["end_of_document"])

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """The names of the sources, in the order of the specification."""
        return tuple(source["name"] for source in self.manifest["sources"])

    def verify(self) -> None:
        """Read every file and compare it with its SHA-256.

        Raises:
            CorpusError: A file has changed since the corpus was built, or is gone.
        """
        for name, expected in self.manifest["files"].items():
            file = self.folder / name
            if not file.is_file():
                raise CorpusError(f"{file} is missing; build the corpus again")
            if sha256(file) != expected["sha256"]:
                raise CorpusError(f"{file} is damaged: its SHA-256 differs from {MANIFEST}; build the corpus again")
        if content_hash(self.manifest["files"]) != self.hash:
            raise CorpusError(
                f"{self.folder / MANIFEST} was altered: its hash does not match its files' hashes; build it again"
            )


def content_hash(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The SHA-256 over the names and SHA-256s of a corpus's files."""
    lines = "".join(f"{name} {files[name]['sha256']}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
    except FileNotFoundError:
        if not folder.is_dir():
            raise CorpusError(
                f"there is no folder {folder}; make a corpus with `howfar corpus build {quote(str(folder))}`"
            ) from None
        raise CorpusError(
            f"{folder} is not a finished corpus: it has no {MANIFEST}; build it, or name the folder that has one"
        ) from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read ({error}); build the corpus again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CorpusError(f"{path} does not describe a {FORMAT}; name a folder that `howfar corpus build` made")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CorpusError(
            f"{path} has format version {manifest.get('format_version')}, this howfar reads {FORMAT_VERSION}; "
            "build the corpus again, or use another version of howfar"
        )
    missing = {"tokenizer", "sources", "files", "hash"} - manifest.keys()
    if missing:
        raise CorpusError(f"{path} lacks {', '.join(sorted(missing))}; build the corpus again")
    return manifest


def _reopen_split(folder: Path, split: SplitName) -> Split:
    return _open_split(folder, split, _read_manifest(folder))


def _open_split(folder: Path, split: SplitName, manifest: Mapping[str, Any]) -> Split:
    names = split_files(split)
    for name in names:
        path, expected = folder / name, manifest["files"].get(name, {}).get("bytes")
        if not path.is_file():
            raise CorpusError(f"the corpus in {folder} lacks {name}; build it again")
        if path.stat().st_size != expected:
            raise CorpusError(
                f"{path} has {path.stat().st_size} bytes, but {MANIFEST} says {expected}; copy or build it again"
            )
    dtype = token_dtype(manifest["tokenizer"]["vocabulary_size"])
    tokens = np.memmap(folder / names[0], dtype=dtype, mode="r")
    try:
        offsets, sources, num_bytes = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in names[1:])
    except (OSError, ValueError) as error:
        raise CorpusError(f"a document table of {folder} cannot be read ({error}); build the corpus again") from None
    if not (len(offsets) == len(sources) + 1 == len(num_bytes) + 1 and int(offsets[-1]) == len(tokens)):
        raise CorpusError(f"the document tables of {folder} do not fit {names[0]}; build the corpus again")
    return Split(split, tokens, offsets, sources, num_bytes, tuple(source["name"] for source in manifest["sources"]))

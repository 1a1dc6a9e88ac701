"""Finish a corpus: write the document tables and `corpus.json` from the journal of its build."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import FORMAT, FORMAT_VERSION, MANIFEST, SPLITS, content_hash, split_files, token_dtype
from howfar.corpus.journal import KEPT, Outcome
from howfar.errors import CorpusError
from howfar.inputs import sha256


def finish_corpus(folder: Path, records: NDArray[np.void], description: Mapping[str, Any]) -> None:
    """Write a corpus's document tables and its manifest beside its tokens.

    Args:
        folder: The build folder.
        records: The journal's records, with streams numbered as in `Selection`.
        description: The arguments of the build: `tokenizer`, `options` and `sources`.

    Raises:
        CorpusError: The tokens on disk do not match the records.
    """
    num_sources = len(description["sources"])
    dtype = token_dtype(description["tokenizer"]["vocabulary_size"])
    for outcome, split in KEPT.items():
        _write_tables(folder, split, records[records["outcome"] == outcome], num_sources, dtype)
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)}
        for split in SPLITS
        for name in split_files(split)
    }
    sources = [
        {
            **source,
            **_counts(records[records["stream"] % num_sources == index]),
            "not_text": [
                *_not_text(records[records["stream"] == index], source["location"]),
                *_not_text(records[records["stream"] == num_sources + index], source["held_out_location"]),
            ],
        }
        for index, source in enumerate(description["sources"])
    ]
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": _package_version(),
        "hash": content_hash(files),
        **description,
        "sources": sources,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tables(folder: Path, split: str, kept: NDArray[np.void], num_sources: int, dtype: np.dtype[Any]) -> None:
    tokens_name, offsets_name, sources_name, bytes_name = split_files(split)
    # The first token is an end of document; each document's count includes the end of document after it.
    offsets = np.cumsum(np.concatenate([[1], kept["num_tokens"].astype(np.uint64)]), dtype=np.uint64)
    if (folder / tokens_name).stat().st_size != int(offsets[-1]) * dtype.itemsize:
        raise CorpusError(
            f"{tokens_name} does not fit the journal of its build; if another build of it is running, let it finish"
        )
    np.save(folder / offsets_name, offsets)
    np.save(folder / sources_name, (kept["stream"] % num_sources).astype(np.uint16))
    np.save(folder / bytes_name, kept["num_bytes"].astype(np.uint64))


def _counts(records: NDArray[np.void]) -> dict[str, Any]:
    """Count a source's documents, bytes and tokens in each split, and its dropped documents."""
    of_split: dict[str, Any] = {}
    for outcome, split in KEPT.items():
        kept = records[records["outcome"] == outcome]
        of_split[split] = {
            "documents": len(kept),
            "bytes": int(kept["num_bytes"].sum()),
            "tokens": int(kept["num_tokens"].sum()),
        }
    dropped = {
        outcome.name.lower(): int((records["outcome"] == outcome).sum()) for outcome in Outcome if outcome not in KEPT
    }
    return {**of_split, "dropped": dropped}


def _not_text(records: NDArray[np.void], location: Mapping[str, Any] | None) -> list[str]:
    """The whole files that were left out because they are not text: a stream has one record for each file in turn."""
    numbers = np.flatnonzero(records["outcome"] == Outcome.NOT_TEXT).tolist()
    return [location["files"][number]["name"] for number in numbers] if location is not None else []


def _package_version() -> str:
    try:
        return version("howfar")
    except PackageNotFoundError:
        return "unknown"

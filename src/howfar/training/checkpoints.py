"""Checkpoints that can be trusted: only one that was written to its end is ever resumed from."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError
from howfar.text.corpus import Corpus
from howfar.training.recipe import Recipe

RECORD = "training.json"
"""Written last into each checkpoint, so that its presence says that all else is there."""

PACKAGES = ("howfar", "torch", "transformers", "accelerate", "numpy", "safetensors", "tokenizers", "peft")
LASTING = ("seed", "model", "increments")
"""Parts of a recipe that a run cannot change on the way."""


def training_record(recipe: Recipe, corpus: Corpus, **results: Any) -> dict[str, Any]:
    """All that is needed to say later how a model came about."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    corpus_facts = {
        "hash": corpus.hash,
        "tokenizer": corpus.tokenizer_name,
        "sources": list(corpus.manifest["sources"]),
    }
    return {"recipe": recipe.to_dict(), "corpus": corpus_facts, "versions": versions, **results}


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record into a folder, whole or not at all."""
    temporary = folder / f".{RECORD}.partial"
    temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, folder / RECORD)


def read_record(folder: Path) -> dict[str, Any]:
    """Read how the model in a folder was trained.

    Raises:
        CheckpointError: The folder has no readable record.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} has no readable {RECORD} ({error}); name a folder that training wrote"
        ) from None
    return dict(record)


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run that was written to its end."""
    numbered = []
    for path in folder.glob("checkpoint-*"):
        match = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if match and (path / RECORD).is_file():
            numbered.append((int(match[1]), path))
    return max(numbered)[1] if numbered else None


def check_same_run(checkpoint: Path, recipe: Recipe, corpus: Corpus) -> None:
    """Refuse to carry on a run with another model, seed or corpus.

    Raises:
        CheckpointError: The checkpoint belongs to another run.
    """
    record, now = read_record(checkpoint), recipe.to_dict()
    changed = [name for name in LASTING if record["recipe"].get(name) != now[name]]
    if record["corpus"]["hash"] != corpus.hash:
        changed.append("corpus")
    if changed:
        raise CheckpointError(
            f"{checkpoint.parent} holds a run with another {' and '.join(changed)}; "
            "choose another output folder, or the recipe and corpus that it was begun with"
        )

"""The model card of a graft: what it is, how to use it, and the numbers of its training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError
from howfar.files import write_file
from howfar.models.description import Description, read_description
from howfar.positions import IncrementConfig

CARD = "README.md"
LABELS = {
    "base": "base model",
    "baseline": "trained alike, plain positions",
    "graft": "with learned increments",
}
"""Rows of the table of losses, by their names in `training.json`."""


def write_card(folder: Path, description: Description, training: Mapping[str, Any] | None = None) -> None:
    """Write a graft's model card.

    Args:
        folder: The graft's folder.
        description: The graft's description.
        training: The contents of its `training.json`, if it has one.

    Raises:
        OutputError: It cannot be written.
    """
    write_file(folder / CARD, _card(description, training))


def is_edited(folder: Path) -> bool:
    """Whether a folder has a README that is not the card of its graft, as it was saved."""
    path = folder / CARD
    try:
        return path.is_file() and path.read_text(encoding="utf-8") != _card(read_description(folder))
    except (CheckpointError, UnicodeDecodeError):  # no graft, or no card
        return True


def _card(description: Description, training: Mapping[str, Any] | None = None) -> str:
    from huggingface_hub import ModelCardData

    base = description.base
    on_hub = base.revision is not None
    data = ModelCardData(
        base_model=base.name if on_hub else None,
        library_name="howfar",
        tags=["howfar", "learned-positions", "interpretability"],
    )
    name = base.name if on_hub else Path(base.name).name
    revision = f" at `{base.revision[:12]}`" if base.revision else ""
    lines = [
        "---",
        data.to_yaml(),
        "---",
        "",
        f"# {name} with learned position increments",
        "",
        _what_it_is(description, name),
        "",
        "```python",
        "import howfar",
        "",
        'model = howfar.load("THIS FOLDER OR HUB ID")',
        "```",
        "",
        "| | |",
        "| --- | --- |",
        f"| base | `{name}`{revision}, fingerprint `{base.fingerprint[:12]}` |",
        *_increments(description.increments),
        *(_training(training) if training else ()),
        "",
        *(_losses(training) if training else ()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _what_it_is(description: Description, name: str) -> str:
    stored = "all its weights are here" if description.whole else "the base's own weights are not"
    if description.increments is None:
        return f"A baseline: `{name}` trained alike with plain rotary positions; {stored}."
    return (
        f"`{name}` whose positions advance by a learned increment at each token instead of by +1; {stored}. "
        "It began as exactly the base model."
    )


def _increments(increments: IncrementConfig | None) -> list[str]:
    if increments is None:
        return []
    options = ", ".join(
        f"{name} = {json.dumps(value)}" for name, value in increments.to_dict().items() if value is not None
    )
    return [f"| increments | {options} |"]


def _training(training: Mapping[str, Any]) -> list[str]:
    recipe, corpus = training["recipe"], training["corpus"]
    tokens = training.get("step", 0) * training["windows_per_step"] * recipe["context"]
    sources = ", ".join(source["name"] for source in corpus["sources"])
    return [
        f"| trained | {recipe['train']}, {training.get('step', 0):,} steps, {tokens:,} tokens, seed {recipe['seed']} |",
        f"| corpus | {sources}, hash `{corpus['hash'][:12]}` |",
    ]


def _losses(training: Mapping[str, Any]) -> list[str]:
    losses = training.get("losses") or {}
    if not losses:
        return []
    first = next(iter(losses.values()))
    rows = [f"| {LABELS[name]} | {loss['nats_per_byte']:.5f} |" for name, loss in losses.items()]
    return [
        f"Loss on {first['documents']:,} held-out documents ({first['bytes']:,} bytes):",
        "",
        "| | nats per byte |",
        "| --- | ---: |",
        *rows,
        "",
        "Differences this small mean little without an interval: `howfar measure neutrality` gives one.",
    ]

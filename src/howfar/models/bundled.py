"""The models that ship with the package.

Each is a folder `bundled/NAME` with `config.json`, `model.safetensors`, `training.json` and a model card, `card.md`.
They are found by listing, so a better model can replace an old one without a change here.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from howfar.errors import ModelNotFoundError
from howfar.inputs import public_name

FOLDER = Path(__file__).with_name("bundled")
DEFAULT_NAME = "bilingual-per-layer"
"""The model that reads a text when no model is named."""


@dataclass(frozen=True)
class BundledModel:
    """Facts about a bundled model that are known before it is loaded.

    Attributes:
        name: Its name for `howfar.load`.
        description: One line from its model card.
        folder: Its folder.
        num_parameters: Tied weights counted once.
        num_bytes: Size of its weights on disk.
        data: Its training data.
        held_out_nats_per_byte: Its loss on whole documents that it was not trained on, in nats per byte.
        licence: Licence of the weights, from its model card.
    """

    name: str
    description: str
    folder: Path
    num_parameters: int
    num_bytes: int
    data: str
    held_out_nats_per_byte: float | None
    licence: str


def bundled_models() -> list[BundledModel]:
    """The models that ship with the package, the default one first, then by name."""
    models = [_describe(path.parent) for path in FOLDER.glob("*/config.json")]
    return sorted(models, key=lambda model: (model.name != DEFAULT_NAME, model.name))


def _describe(folder: Path) -> BundledModel:
    training = _read_json(folder / "training.json")
    weights = folder / "model.safetensors"
    card, description = _read_card(folder / "card.md")
    return BundledModel(
        name=folder.name,
        description=description,
        folder=folder,
        num_parameters=_num_parameters(weights),
        num_bytes=weights.stat().st_size,
        data=_data_of(card, training),
        held_out_nats_per_byte=training.get("held_out", {}).get("nats_per_byte"),
        licence=str(card.get("license", "not stated")),
    )


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _read_card(path: Path) -> tuple[dict[str, Any], str]:
    """A model card's metadata, and its first paragraph below the title."""
    if not path.is_file():
        return {}, ""
    from huggingface_hub import ModelCard

    card = ModelCard(path.read_text(encoding="utf-8"))
    paragraphs = (" ".join(block.split()) for block in card.text.split("\n\n"))
    return card.data.to_dict(), next((text for text in paragraphs if text and not text.startswith("#")), "")


def _data_of(card: dict[str, Any], training: dict[str, Any]) -> str:
    stated = card.get("datasets") or training.get("corpus", {}).get("sources", [])
    names = [stated] if isinstance(stated, str) else stated
    return ", ".join(name if isinstance(name, str) else name["name"] for name in names)


def _num_parameters(weights: Path) -> int:
    """The number of parameters, from the file's header, so that listing models does not load them."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def named_models(sources: Sequence[str]) -> dict[str, str]:
    """Give models the names that visitors of a page see: a folder's last part, numbered if two are equal.

    Args:
        sources: Bundled models, folders or Hub ids; if there are none, all bundled models.

    Raises:
        ModelNotFoundError: None is named and none is bundled.
    """
    names: dict[str, str] = {}
    for source in dict.fromkeys(sources or [model.name for model in bundled_models()]):
        name = short = PurePath(public_name(source)).name or source
        number = 2
        while name in names:
            name, number = f"{short} ({number})", number + 1
        names[name] = source
    if not names:
        raise ModelNotFoundError("no model is bundled with this package; name a model's folder or Hub id")
    return names

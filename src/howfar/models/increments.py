"""A model's increments in a file of their own, as a graft stores them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from howfar.models.tensors import copy_tensors, read_tensors
from howfar.models.unwrapping import increment_tensors
from howfar.positions import IncrementConfig, increments_of
from howfar.positions.attachment import find_increments

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INCREMENTS_FILE = "increments.safetensors"


def increment_config(model: PreTrainedModel) -> IncrementConfig | None:
    """The kind of a model's increments; None if it has none."""
    increments = find_increments(model)
    return None if increments is None else increments.config


def save_increments(model: PreTrainedModel, folder: Path) -> None:
    """Write a model's increments."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().contiguous() for name, tensor in _parameters(model).items()}
    save_file(tensors, folder / INCREMENTS_FILE)


def read_increments(model: PreTrainedModel, folder: Path) -> None:
    """Set a model's increments to those in a folder.

    Raises:
        CheckpointError: The file is damaged or does not fit.
    """
    path = folder / INCREMENTS_FILE
    copy_tensors(_parameters(model), read_tensors(path), path)


def short_name(name: str) -> str:
    """What follows the decoder in an increment's parameter's name: on saving, Transformers renames models' parts."""
    before, _, after = name.partition("increments.")
    layer = before.rstrip(".").rpartition(".")[2]
    return f"layers.{layer}.increments.{after}" if layer.isdigit() else f"increments.{after}"


def _parameters(model: PreTrainedModel) -> dict[str, Tensor]:
    """Parameters of a model's increments, by names that do not depend on its architecture."""
    increments = increments_of(model)
    names = ["shared"] if increments.config.scope == "shared" else [f"layers.{i}" for i in increments.layer_indices]
    return {
        f"{name}.{parameter}": value
        for name, owner in zip(names, increments.owners, strict=True)
        for parameter, value in increment_tensors(owner.get_submodule("increments")).items()
    }

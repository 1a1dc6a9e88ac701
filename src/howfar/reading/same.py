"""The same model in another process: loaded there by its name, and its weights compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from howfar.errors import WorkersError
from howfar.models.fingerprint import digest_of_settings
from howfar.models.loading import load
from howfar.models.unwrapping import unwrap
from howfar.positions.attachment import positions_of
from howfar.positions.encodings.attending import PREFIX

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_MODELS = 2  # that a worker keeps loaded


@dataclass(frozen=True)
class SameModel:
    """What it takes to load a model again elsewhere.

    Attributes:
        name: As `howfar.load` takes it; a folder by its whole path.
        dtype: Of its weights.
        device: Where it is.
        attention: Transformers' name of its attention function.
        digest: Of its weights and of what else decides what it computes.
    """

    name: str
    dtype: str
    device: str
    attention: str
    digest: str

    @classmethod
    def of(cls, model: nn.Module) -> SameModel:
        """Of a model here, wrapped and compiled ones too.

        Raises:
            WorkersError: It came from nowhere.
        """
        inner = unwrap(model)
        name = inner.name_or_path
        if not name:
            raise WorkersError(
                f"this {type(inner).__name__} came from no folder or Hub id, so workers cannot load it; "
                "save it and load it by howfar.load, or read without workers"
            )
        name = str(Path(name).resolve()) if Path(name).exists() else name
        device, attention = str(next(inner.parameters()).device), inner.config._attn_implementation
        dtype = str(inner.dtype).removeprefix("torch.")
        return cls(name, dtype, device, attention.removeprefix(PREFIX), digest_of(inner))

    def load(self) -> PreTrainedModel:
        """The model, loaded once in a process.

        Raises:
            WorkersError: It cannot be found there, or is another one.
        """
        return _loaded(self)


@lru_cache(MOST_MODELS)
def _loaded(same: SameModel) -> PreTrainedModel:
    model = load(same.name, dtype=same.dtype, device=same.device, attn_implementation=same.attention)
    if digest_of(model) != same.digest:
        raise WorkersError(
            f"what a worker loads from {same.name} is not the model as it is here; save the model and load it by "
            "howfar.load, or read without workers"
        )
    return model


def digest_of(model: PreTrainedModel) -> str:
    """A SHA-256 of all that a model has in its state, and of the settings that change its function."""
    positions = positions_of(model)
    increments = None if positions is None or positions.is_plain else positions.config.to_dict()
    digest = digest_of_settings(model.config)
    digest.update(json.dumps(increments, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()

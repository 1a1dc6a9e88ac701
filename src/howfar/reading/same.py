"""The same model in another process: loaded by name there, and verified by a digest of its weights and settings."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from howfar.errors import WorkersError
from howfar.models.loading import load
from howfar.models.settings import attention_of, plain_settings
from howfar.models.unwrapping import tuners, unwrap
from howfar.positions.attachment import positions_of
from howfar.positions.rotation import fixed_up_to

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_MODELS = 2  # models that a worker keeps loaded

WITHOUT_EFFECT = ("training", "gradient_checkpointing", "name_or_path", "max_seq_len_cached")
"""Attributes of modules that differ from process to process, but not what is computed from a whole text."""


@dataclass(frozen=True)
class SameModel:
    """How to load a model again in another process.

    Attributes:
        name: As for `howfar.load`; a folder by its absolute path.
        dtype: Type of its weights.
        device: Its device.
        attention: `attention_of` its configuration, as JSON.
        digest: From `digest_of`.
    """

    name: str
    dtype: str
    device: str
    attention: str
    digest: str

    @classmethod
    def of(cls, model: nn.Module) -> SameModel:
        """Describe a model of this process, which may be wrapped or compiled.

        Raises:
            WorkersError: It was not loaded from a folder or the Hub, is divided over devices, or has hooks or
                another `forward`, which no file holds.
        """
        inner = unwrap(model)
        if len({parameter.device for parameter in inner.parameters()}) > 1 or inner.device.type == "meta":
            raise WorkersError(
                f"this {type(inner).__name__} is divided over devices or offloaded, so workers cannot load it; read "
                "without workers, or load it to one device"
            )
        name = inner.name_or_path
        if not name:
            raise WorkersError(
                f"this {type(inner).__name__} was not loaded from a folder or the Hub, so workers cannot load it; "
                "save it and load it with howfar.load, or read without workers"
            )
        _check_code(inner)
        name = str(Path(name).resolve()) if Path(name).exists() else name
        device, attention = str(next(inner.parameters()).device), json.dumps(attention_of(inner.config))
        dtype = str(inner.dtype).removeprefix("torch.")
        return cls(name, dtype, device, attention, digest_of(inner))

    def load(self) -> PreTrainedModel:
        """The model, which is loaded once per process.

        Raises:
            WorkersError: The model that is found there is a different one.
        """
        return _loaded(self)


@lru_cache(MAX_MODELS)
def _loaded(same: SameModel) -> PreTrainedModel:
    model = load(same.name, dtype=same.dtype, device=same.device, attn_implementation=json.loads(same.attention))
    if digest_of(model) != same.digest:
        raise WorkersError(
            f"the model that a worker loads from {same.name} differs from the model here; save the model and load it "
            "with howfar.load, or read without workers"
        )
    return model


def _check_code(model: PreTrainedModel) -> None:
    """Refuse code that was put into a model, which a worker's model would lack."""
    for name, module in model.named_modules():
        hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
        ours = [str(getattr(hook, "func", hook).__module__).startswith(("howfar.", "transformers.")) for hook in hooks]
        # Accelerate replaces `forward` to move inputs, which changes no number.
        if not all(ours) or ("forward" in vars(module) and not hasattr(module, "_hf_hook")):
            raise WorkersError(
                f"{name or 'the model'} ({type(module).__name__}) has a hook or another forward, which workers do not "
                "get with the model's files; read without workers, or take it out"
            )


def digest_of(model: PreTrainedModel) -> str:
    """A SHA-256 of a model's state, of its settings and of what its modules compute with besides."""
    positions = positions_of(model)
    increments = None if positions is None or positions.is_plain else positions.config.to_dict()
    digest = hashlib.sha256(json.dumps([plain_settings(model.config), increments], sort_keys=True).encode())
    for name, module in model.named_modules():
        facts = {key: value for key, value in sorted(vars(module).items()) if _counts(key, value)}
        digest.update(f"\n{name} {type(module).__name__} {facts}".encode())
    for name, tuner in tuners(model).items():
        adapters = [getattr(tuner, key, None) for key in ("active_adapters", "disable_adapters", "scaling")]
        digest.update(f"\n{name} {adapters}".encode())
    for name, tensor in sorted({**_computed_buffers(model), **model.state_dict()}.items()):
        digest.update(f"\n{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def _counts(name: str, value: object) -> bool:
    """Whether an attribute of a module may change what it computes."""
    return isinstance(value, float) or (isinstance(value, int | str) and name[0] != "_" and name not in WITHOUT_EFFECT)


def _computed_buffers(model: PreTrainedModel) -> dict[str, Tensor]:
    """Buffers that no file holds: rotary frequencies, but not those that follow the length of the latest text."""
    varying = {name for name, module in model.named_modules() if fixed_up_to(module) < math.inf}
    return {
        name: buffer
        for name, buffer in model.named_buffers()
        if name.rpartition(".")[0] not in varying or name.endswith("original_inv_freq")
    }

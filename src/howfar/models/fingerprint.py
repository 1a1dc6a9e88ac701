"""Tell one pretrained model from another by its weights and the settings that decide what they compute."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from howfar.models.unwrapping import own_tensors

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

SAMPLES = 4096
"""Values looked at in each tensor: training changes all of them, so not all need be read."""
SETTINGS = (
    "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "rms_norm_eps", "layer_norm_eps", "rope_parameters", "sliding_window", "layer_types",
)  # fmt: skip
"""Options of a model's configuration that change its function and not the shapes of its weights alone."""


def base_parameters(model: nn.Module) -> dict[str, Tensor]:
    """A model's own parameters, by their names in the base model, in the order of these names."""
    return dict(sorted(own_tensors(model, dict(model.named_parameters())).items()))


def fingerprint(model: PreTrainedModel, config: PretrainedConfig | None = None) -> str:
    """A SHA-256 of what a base model computes, increments and adapters left out.

    Weights are compared as bfloat16, so that it is the same whether they were loaded as float32, as bfloat16 or as
    they lie in the file. (Only float32 weights loaded as float16 differ: they were rounded twice.)

    Args:
        model: The base model, or one made from it.
        config: The base's configuration, where the model has another.
    """
    settings = {name: getattr(config or model.config, name, None) for name in SETTINGS}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, parameter in base_parameters(model).items():
        digest.update(f"\n{name} {tuple(parameter.shape)}\n".encode())
        values = parameter.detach().reshape(-1)
        sample = values[:: max(1, len(values) // SAMPLES)].to("cpu", torch.bfloat16)
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()

"""Identify a pretrained model by its weights and the settings that determine its output."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from howfar.models.unwrapping import own_tensors
from howfar.positions.decoder import option_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

SAMPLES = 4096
"""Values read in each tensor: training changes all of them, so a sample is enough."""
SETTINGS = (
    "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "rope_parameters", "partial_rotary_factor", "no_rope_layers", "sliding_window", "layer_types",
    # Activations and norms ...
    "hidden_act", "hidden_activation", "activation_function", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon",
    "norm_eps",
    # ... factors: Granite, Gemma, Cohere and others ...
    "embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling", "logit_scale",
    "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping", "clip_qkv",
    # ... and experts.
    "num_experts_per_tok", "norm_topk_prob", "routed_scaling_factor", "swiglu_limit",
)  # fmt: skip
"""Options of a configuration that change a model's function, not only the shapes of its weights."""


def base_parameters(model: nn.Module) -> dict[str, Tensor]:
    """A model's own parameters by name, in the base model's names and the order of these names."""
    return dict(sorted(own_tensors(model, dict(model.named_parameters())).items()))


def fingerprint(model: PreTrainedModel, config: PretrainedConfig | None = None) -> str:
    """A SHA-256 of a base model's weights and settings, without increments and adapters.

    Weights are compared as bfloat16, so that the result is the same for float32, bfloat16 or the file's own type.
    (Only float32 weights loaded as float16 differ: they were rounded twice.)

    Args:
        model: The base model, or a model made from it.
        config: The base's configuration, if the model has another.
    """
    options = (config or model.config).get_text_config()
    settings = {name: value for name in SETTINGS if (value := option_of(options, name)) is not None}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, parameter in base_parameters(model).items():
        digest.update(f"\n{name} {tuple(parameter.shape)}\n".encode())
        values = parameter.detach().reshape(-1)
        sample = values[:: max(1, len(values) // SAMPLES)].to("cpu", torch.bfloat16)
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()

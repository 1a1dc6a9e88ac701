"""Tiny models from scratch with each encoding, with increments and without."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig
from howfar.positions.attachment import positions_of

PER_LAYER = IncrementConfig(scope="per_layer", start="random", bound="softplus")
SHARED = IncrementConfig(scope="shared", start="random", bound="softplus")
PER_HEAD = IncrementConfig(scope="per_layer", start="random", bound="softplus", per_head=True)

ENCODED: dict[str, tuple[dict[str, Any], IncrementConfig | None]] = {
    "nope": ({"name": "nope"}, None),
    "alibi": ({"name": "alibi"}, None),
    "alibi-learned": ({"name": "alibi", "learned": True}, None),
    "alibi-rotary-per_layer": ({"name": "alibi", "rotary": True, "learned": True}, PER_LAYER),
    "alibi-per_head": ({"name": "alibi"}, PER_HEAD),
    "forget_gate": ({"name": "forget_gate"}, None),
    "forget_gate-rotary-shared": ({"name": "forget_gate", "rotary": True}, SHARED),
    "pope": ({"name": "pope"}, None),
    "pope-per_layer": ({"name": "pope"}, PER_LAYER),
    "pope-per_head": ({"name": "pope"}, PER_HEAD),
    "halves-per_layer": ({"name": "halves"}, PER_LAYER),
    "random": ({"name": "random", "seed": 3}, None),
    "random-one": ({"name": "random", "by_frequency": False}, None),
    "frozen": ({"name": "frozen", "table": "a-shared-model"}, None),
}


def encoded(kind: str, **options: Any) -> HowFarForCausalLM:
    """A tiny random model in evaluation mode whose gates, slopes, biases, tables and increments are random as well."""
    encoding, increments = ENCODED[kind]
    sizes = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        "tie_word_embeddings": False, "max_position_embeddings": 128,
    }  # fmt: skip
    values = None if increments is None else increments.to_dict()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = HowFarForCausalLM(HowFarConfig(**{**sizes, **options}, encoding=encoding, increments=values))
        found = positions_of(model)
        assert found is not None
        for parameter in found.parameters():
            nn.init.normal_(parameter, std=0.3)
        for name, parameter in model.named_parameters():
            if "encoding" in name.split("."):
                parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
                if name.endswith("phase_bias"):
                    parameter.data = -parameter.data.abs() - 0.1
        if encoding["name"] == "frozen":
            model.get_buffer("model.increments.values").uniform_(0.2, 2)
    model.generation_config.eos_token_id = None
    return model.eval()

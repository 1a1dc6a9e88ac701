"""Initial weights from another model of the same shape, where they are not drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from howfar.errors import ConfigError
from howfar.models.configuration import HowFarConfig
from howfar.models.folders import find_folder, read_config
from howfar.models.manifest import sha256
from howfar.models.modeling import HowFarForCausalLM
from howfar.models.pretrained import load_pretrained

SAME = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "attention_bias", "mlp_bias",
    "increments",
)  # fmt: skip
"""Settings that give weights their meaning; the context may be another."""


def start_from(model: HowFarForCausalLM, name: str) -> dict[str, str]:
    """Give a model the weights of another.

    Args:
        model: Changed in place.
        name: A bundled model, or the folder of one that howfar trained.

    Returns:
        For the record: the other's name, without its folder, and the SHA-256 of its weights.

    Raises:
        CheckpointError: The other's files are damaged.
        ConfigError: It is of another kind or shape.
        ModelNotFoundError: There is no such model.
    """
    folder = find_folder(name)
    config = read_config(folder)
    if config.get("model_type") != HowFarConfig.model_type:
        kind = (config.get("architectures") or ["model of another kind"])[0]
        raise ConfigError(
            f"recipe: start_from names {name}, a {kind}; it must be a model that howfar trained from scratch"
        )
    other = load_pretrained(folder, dtype=torch.float32)
    wanted, found = _meaning(model.config), _meaning(other.config)
    for key in SAME:
        if wanted[key] != found[key]:
            raise ConfigError(
                f"recipe: start_from names {name}, whose {key} is {found[key]}, the recipe's {wanted[key]}; make them "
                "the same, or leave start_from out"
            )
    model.load_state_dict(other.state_dict())
    return {"name": Path(name).name, "sha256": sha256(folder / "model.safetensors")}


def _meaning(config: HowFarConfig) -> dict[str, Any]:
    """Settings that decide what weights do; how increments began does not."""
    values = config.to_dict()
    increments = values["increments"] and {key: of for key, of in values["increments"].items() if key != "start"}
    return {**values, "increments": increments}

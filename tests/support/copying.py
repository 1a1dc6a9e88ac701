"""A model built by hand whose every step is known: it predicts the letter that stands a given way back.

Each token advances the positions by `INCREMENT`. One head attends to the token at distance `DISTANCE` in positions,
which is `LAG` tokens back, and copies its letter to the prediction. On a text whose letters repeat every `LAG + 1`
tokens that letter is right, so anything that moves tokens to other positions costs loss.
"""

from __future__ import annotations

import math
import random
from typing import Any

import torch

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import increments_of

LETTERS = "abcdefghijklmnopqrstuvwxyz"
INCREMENT = 2.0
LAG = 4
DISTANCE = LAG * INCREMENT
_SIZE, _HEAD = 32, 64
_CONSTANT = 31  # the dimension that is the same for every token; 0-25 stand for letters


def copying_model(*, blind_second_layer: bool = False, off_target: float = 0.0, **config: Any) -> HowFarForCausalLM:
    """The model, in evaluation mode.

    Args:
        blind_second_layer: Add a layer that attends to all tokens alike, whatever their positions.
        off_target: How much farther than `DISTANCE` the head looks.
        **config: Further options of the configuration.
    """
    options = {
        "hidden_size": _SIZE,
        "intermediate_size": 4,
        "num_hidden_layers": 1 + blind_second_layer,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": _HEAD,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "increments": {"scope": "per_layer"},
    }
    model = HowFarForCausalLM(HowFarConfig(**{**options, **config})).eval()
    weights = model.state_dict()
    for name, weight in weights.items():
        if "norm" not in name and "increments" not in name:
            weight.zero_()
    for number, letter in enumerate(LETTERS):
        weights["model.embed_tokens.weight"][ord(letter), number] = 1.0
        weights["lm_head.weight"][ord(letter), number] = 3.0
    weights["model.embed_tokens.weight"][:, _CONSTANT] = 1.0
    attention = "model.layers.0.self_attn"
    frequencies = 10000.0 ** (-torch.arange(0, _HEAD, 2) / _HEAD)
    angles = frequencies * (DISTANCE + off_target)
    weights[f"{attention}.q_proj.weight"][:, _CONSTANT] = torch.cat([angles.cos(), -angles.sin()])
    weights[f"{attention}.k_proj.weight"][: _HEAD // 2, _CONSTANT] = 1.0
    weights[f"{attention}.v_proj.weight"][: len(LETTERS), : len(LETTERS)] = torch.eye(len(LETTERS))
    weights[f"{attention}.o_proj.weight"][: len(LETTERS), : len(LETTERS)] = 20 * torch.eye(len(LETTERS))
    if model.config.increments is not None:
        for network in increments_of(model).networks:  # INCREMENT = 10 / (1 + 9 exp(-bias))
            network.output.bias.data.fill_(-math.log((10 / INCREMENT - 1) / 9))
    return model


def repeating_texts(count: int, length: int = 60, seed: int = 0) -> list[str]:
    """Texts of random letters that repeat every `LAG + 1`."""
    generator = random.Random(seed)
    texts = []
    for _ in range(count):
        unit = "".join(generator.sample(LETTERS, LAG + 1))
        texts.append((unit * length)[:length])
    return texts

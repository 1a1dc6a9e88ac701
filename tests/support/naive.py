"""A Llama with learned increments or another encoding, by float64 loops over tokens, heads and earlier tokens.

Written from the definitions, to be compared with; it shares nothing with the package but the names of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig

from howfar.positions import IncrementConfig

Weights = dict[str, Tensor]
Positions = list[list[Tensor]]
Score = Callable[[int, int, int, Tensor, Tensor], Tensor]


def naive_logits(
    weights: Weights,
    token_ids: list[int],
    model: LlamaConfig,
    config: IncrementConfig | None,
    encoding: dict[str, Any] | None = None,
) -> Tensor:
    """Logits `[token, vocabulary]` of one sequence, from float64 weights named as in the model's state dict."""
    encoding = encoding or {"name": "rotary"}
    embeddings = [weights["model.embed_tokens.weight"][token_id] for token_id in token_ids]
    stream = embeddings
    for layer in range(model.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        if config is None:
            positions = counted_positions(weights, token_ids)
        elif config.scope == "shared":
            positions = naive_positions(weights, "model.increments.", embeddings, config)
        else:
            positions = naive_positions(weights, prefix + "increments.", stream, config)
        normed = [rms_norm(x, weights[prefix + "input_layernorm.weight"], model.rms_norm_eps) for x in stream]
        score = SCORES[encoding["name"]](weights, prefix + "encoding.", stream, positions, model, encoding)
        attended = naive_attention(weights, prefix + "self_attn.", normed, score, model)
        stream = [x + a for x, a in zip(stream, attended, strict=True)]
        normed = [rms_norm(x, weights[prefix + "post_attention_layernorm.weight"], model.rms_norm_eps) for x in stream]
        stream = [x + feed_forward(weights, prefix + "mlp.", y) for x, y in zip(stream, normed, strict=True)]
    final = [rms_norm(x, weights["model.norm.weight"], model.rms_norm_eps) for x in stream]
    return torch.stack([weights["lm_head.weight"] @ x for x in final])


def naive_positions(weights: Weights, prefix: str, inputs: list[Tensor], config: IncrementConfig) -> list[list[Tensor]]:
    """`positions[token][head]`, from the increments that a network predicts for each token."""
    increments = []
    for x in inputs:
        if config.scope == "per_layer":
            x = rms_norm(x, weights[prefix + "norm.weight"], 1e-6)
        x = weights[prefix + "hidden.weight"] @ x + weights[prefix + "hidden.bias"]
        x = x * (1 + torch.erf(x / math.sqrt(2))) / 2
        x = weights[prefix + "output.weight"] @ x + weights[prefix + "output.bias"]
        if config.bound == "softplus":
            increments.append(torch.log(1 + torch.exp(x + math.log(math.e - 1))))
        elif config.bound == "sigmoid":
            increments.append(config.max_increment / (1 + torch.exp(-(x - math.log(config.max_increment - 1)))))
        else:
            increments.append(1 + x)
    if not config.accumulate:
        return [list(increment) for increment in increments]
    positions = []
    for t in range(len(inputs)):
        position = torch.zeros_like(increments[0])
        for s in range(t + 1 if config.advance == "before" else t):
            position = position + increments[s]
        positions.append(list(position - 1 if config.advance == "before" else position))
    return positions


def naive_attention(
    weights: Weights, prefix: str, inputs: list[Tensor], score: Score, model: LlamaConfig
) -> list[Tensor]:
    """Causal attention with grouped keys, by the scores that an encoding gives."""
    head_dim = model.hidden_size // model.num_attention_heads
    group = model.num_attention_heads // model.num_key_value_heads
    queries = [(weights[prefix + "q_proj.weight"] @ x).view(-1, head_dim) for x in inputs]
    keys = [(weights[prefix + "k_proj.weight"] @ x).view(-1, head_dim) for x in inputs]
    values = [(weights[prefix + "v_proj.weight"] @ x).view(-1, head_dim) for x in inputs]
    outputs = []
    for t in range(len(inputs)):
        heads = []
        for head in range(model.num_attention_heads):
            key_head = head // group
            scores = [score(t, s, head, queries[t][head], keys[s][key_head]) for s in range(t + 1)]
            total = sum(torch.exp(score) for score in scores)
            parts = [torch.exp(one) / total * values[s][key_head] for s, one in enumerate(scores)]
            heads.append(torch.stack(parts).sum(dim=0))
        outputs.append(weights[prefix + "o_proj.weight"] @ torch.cat(heads))
    return outputs


def counted_positions(weights: Weights, token_ids: list[int]) -> list[list[Tensor]]:
    """`positions[token][set]`: 0, 1, 2, ..., or sums of what a table says of each token."""
    table = weights.get("model.increments.values")
    if table is None:
        return [[torch.tensor(float(t), dtype=torch.float64)] for t in range(len(token_ids))]
    return [list(table[token_ids[: t + 1]].sum(dim=0) - 1) for t in range(len(token_ids))]


def rotary_score(
    weights: Weights, prefix: str, stream: list[Tensor], positions: Positions, model: LlamaConfig, options: Any
) -> Score:
    """Each head of keys is at its own position, or all at the same."""
    theta, group = model.rope_parameters["rope_theta"], model.num_attention_heads // model.num_key_value_heads

    def score(t: int, s: int, head: int, query: Tensor, key: Tensor) -> Tensor:
        here, there = (positions[place][head // group % len(positions[place])] for place in (t, s))
        return rotate(query, here, theta) @ rotate(key, there, theta) / math.sqrt(len(key))

    return score


def sets_score(
    weights: Weights, prefix: str, stream: list[Tensor], positions: Positions, model: LlamaConfig, options: Any
) -> Score:
    """Frequencies take turns in the sets of positions."""
    theta = model.rope_parameters["rope_theta"]

    def score(t: int, s: int, head: int, query: Tensor, key: Tensor) -> Tensor:
        return rotate(query, positions[t], theta) @ rotate(key, positions[s], theta) / math.sqrt(len(key))

    return score


def unrotated_score(
    weights: Weights, prefix: str, stream: list[Tensor], positions: Positions, model: LlamaConfig, options: Any
) -> Score:
    """Content alone."""
    return lambda t, s, head, query, key: query @ key / math.sqrt(len(key))


def alibi_score(
    weights: Weights, prefix: str, stream: list[Tensor], positions: Positions, model: LlamaConfig, options: Any
) -> Score:
    """A slope for each query head times the distance."""
    beneath = rotary_score if options.get("rotary") else unrotated_score
    content = beneath(weights, prefix, stream, positions, model, options)
    heads, group = model.num_attention_heads, model.num_attention_heads // model.num_key_value_heads

    def score(t: int, s: int, head: int, query: Tensor, key: Tensor) -> Tensor:
        here, there = (positions[place][head // group % len(positions[place])] for place in (t, s))
        slope = weights[prefix + "slope_bias"][head] if options.get("learned") else 2 ** (-8 * (head + 1) / heads)
        return content(t, s, head, query, key) - slope * (here - there)

    return score


def forget_gate_score(
    weights: Weights, prefix: str, stream: list[Tensor], positions: Positions, model: LlamaConfig, options: Any
) -> Score:
    """The logarithm of each gate after the key, up to the query."""
    beneath = rotary_score if options.get("rotary") else unrotated_score
    content = beneath(weights, prefix, stream, positions, model, options)
    group = model.num_attention_heads // model.num_key_value_heads
    logits = [
        weights[prefix + "gate.weight"] @ rms_norm(x, torch.ones_like(x), model.rms_norm_eps)
        + weights[prefix + "gate.bias"]
        for x in stream
    ]

    def score(t: int, s: int, head: int, query: Tensor, key: Tensor) -> Tensor:
        forgotten = sum(torch.log(1 / (1 + torch.exp(-logits[u][head // group]))) for u in range(s + 1, t + 1))
        return content(t, s, head, query, key) + forgotten

    return score


def pope_score(
    weights: Weights, prefix: str, stream: list[Tensor], positions: Positions, model: LlamaConfig, options: Any
) -> Score:
    """Magnitudes of content, phases of position."""
    theta, group = model.rope_parameters["rope_theta"], model.num_attention_heads // model.num_key_value_heads

    def score(t: int, s: int, head: int, query: Tensor, key: Tensor) -> Tensor:
        here, there = (positions[place][head // group % len(positions[place])] for place in (t, s))
        total = torch.zeros_like(here)
        for c in range(len(key)):
            phase = (there - here) * theta ** (-c / len(key)) + weights[prefix + "phase_bias"][head // group, c]
            total = total + torch.log(1 + query[c].exp()) * torch.log(1 + key[c].exp()) * torch.cos(phase)
        return total / math.sqrt(len(key))

    return score


SCORES: dict[str, Callable[..., Score]] = {
    "rotary": rotary_score,
    "halves": sets_score,
    "random": sets_score,
    "frozen": sets_score,
    "nope": unrotated_score,
    "alibi": alibi_score,
    "forget_gate": forget_gate_score,
    "pope": pope_score,
}


def rotate(vector: Tensor, position: Tensor | list[Tensor], theta: float) -> Tensor:
    """Turn each pair (i, i + half) of a head by position * theta^(-2i / length); of several positions by one each."""
    positions = position if isinstance(position, list) else [position]
    half = len(vector) // 2
    first, second = [], []
    for i in range(half):
        angle = positions[i % len(positions)] * theta ** (-2 * i / len(vector))
        first.append(vector[i] * torch.cos(angle) - vector[i + half] * torch.sin(angle))
        second.append(vector[i + half] * torch.cos(angle) + vector[i] * torch.sin(angle))
    return torch.stack(first + second)


def feed_forward(weights: Weights, prefix: str, x: Tensor) -> Tensor:
    """SwiGLU."""
    gate = weights[prefix + "gate_proj.weight"] @ x
    return weights[prefix + "down_proj.weight"] @ (
        gate / (1 + torch.exp(-gate)) * (weights[prefix + "up_proj.weight"] @ x)
    )


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide by the root of the mean square."""
    return x / torch.sqrt((x * x).mean() + eps) * weight

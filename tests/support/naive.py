"""A Llama with learned increments in plain float64 loops, one token, head and earlier token at a time.

Written from the definitions, to be compared with; it shares nothing with the package but the names of the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import LlamaConfig

from howfar.positions import IncrementConfig

Weights = dict[str, Tensor]


def naive_logits(weights: Weights, token_ids: list[int], model: LlamaConfig, config: IncrementConfig) -> Tensor:
    """Logits `[token, vocabulary]` of one sequence, from float64 weights named as in the model's state dict."""
    embeddings = [weights["model.embed_tokens.weight"][token_id] for token_id in token_ids]
    stream = embeddings
    for layer in range(model.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        if config.scope == "shared":
            positions = naive_positions(weights, "model.increments.", embeddings, config)
        else:
            positions = naive_positions(weights, prefix + "increments.", stream, config)
        normed = [rms_norm(x, weights[prefix + "input_layernorm.weight"], model.rms_norm_eps) for x in stream]
        attended = naive_attention(weights, prefix + "self_attn.", normed, positions, model)
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
    weights: Weights, prefix: str, inputs: list[Tensor], positions: list[list[Tensor]], model: LlamaConfig
) -> list[Tensor]:
    """Causal attention with grouped keys; each head of keys is at its own position, or all at the same."""
    head_dim = model.hidden_size // model.num_attention_heads
    group = model.num_attention_heads // model.num_key_value_heads
    queries = [(weights[prefix + "q_proj.weight"] @ x).view(-1, head_dim) for x in inputs]
    keys = [(weights[prefix + "k_proj.weight"] @ x).view(-1, head_dim) for x in inputs]
    values = [(weights[prefix + "v_proj.weight"] @ x).view(-1, head_dim) for x in inputs]
    theta = model.rope_parameters["rope_theta"]
    outputs = []
    for t in range(len(inputs)):
        heads = []
        for head in range(model.num_attention_heads):
            key_head = head // group
            here = positions[t][key_head % len(positions[t])]
            query = rotate(queries[t][head], here, theta)
            scores = []
            for s in range(t + 1):
                there = positions[s][key_head % len(positions[s])]
                scores.append(query @ rotate(keys[s][key_head], there, theta) / math.sqrt(head_dim))
            total = sum(torch.exp(score) for score in scores)
            heads.append(sum(torch.exp(score) / total * values[s][key_head] for s, score in enumerate(scores)))
        outputs.append(weights[prefix + "o_proj.weight"] @ torch.cat(heads))
    return outputs


def rotate(vector: Tensor, position: Tensor, theta: float) -> Tensor:
    """Turn each pair (i, i + half) of a head by position * theta^(-2i / length)."""
    half = len(vector) // 2
    first, second = [], []
    for i in range(half):
        angle = position * theta ** (-2 * i / len(vector))
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

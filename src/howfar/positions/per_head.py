"""Positions for each head, through Transformers' attention interface.

A decoder layer rotates all heads alike. Where each key-value head has its own positions, the layer is told to rotate by
nothing and the attention function, which sees queries and keys head by head, rotates them: with the model's own
`apply_rotary_pos_emb`, so that layouts and partial rotation stay what they are.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from howfar.errors import UnsupportedModelError
from howfar.positions.shapes import Float

PREFIX = "howfar_"

Angles = tuple[Tensor, Tensor]
"""Cosines and sines, `[batch, head, token, rotary]`."""


def rotate_heads(
    states: Float[Tensor, "batch head token width"], angles: Angles, apply: Callable[..., tuple[Tensor, Tensor]]
) -> Float[Tensor, "batch head token width"]:
    """Rotate each head by its own angles.

    Args:
        states: Queries or keys.
        angles: For each head, or for each group of as many neighbouring heads as fit.
        apply: The model's `apply_rotary_pos_emb`; it rotates all heads of a batch entry alike, so each head is handed
            to it as a batch entry of its own.
    """
    cos, sin = (part.repeat_interleave(states.shape[1] // part.shape[1], dim=1).flatten(0, 1) for part in angles)
    flat = states.flatten(0, 1).unsqueeze(1)
    rotated, _ = apply(flat, flat[:, :0], cos, sin)
    return rotated.view_as(states)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    implementation: str,
    per_head_rotation: tuple[Angles, Angles] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Rotate each head, then attend by another of Transformers' attention functions.

    Args:
        module: The attention module.
        query: `[batch, head, token, width]`, not yet rotated.
        key: `[batch, key_value_head, all_tokens, width]`, not yet rotated, cached ones included.
        value: As `key`.
        attention_mask: Passed on.
        implementation: Name of the attention function that does the rest (`"sdpa"`, `"eager"`, ...).
        per_head_rotation: Angles of the queries and of the keys, from the layer's increments.
        **kwargs: Passed on.
    """
    source = sys.modules[type(module).__module__]
    if per_head_rotation is not None:
        for_queries, for_keys = per_head_rotation
        num_keys = key.shape[-2]  # sliding-window caches keep the latest keys only
        for_keys = tuple(part[..., -num_keys:, :] for part in for_keys)
        query = rotate_heads(query, for_queries, source.apply_rotary_pos_emb)
        key = rotate_heads(key, for_keys, source.apply_rotary_pos_emb)
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, getattr(source, "eager_attention_forward", None))
    return attend(module, query, key, value, attention_mask, **kwargs)


def register(implementation: str) -> str:
    """Make a per-head variant of an attention function known to Transformers; returns its name."""
    name = PREFIX + implementation
    AttentionInterface.register(name, partial(attention, implementation=implementation))
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[implementation])
    return name


for _implementation in ("eager", "sdpa"):  # so that a model can be switched to them by name at any time
    register(_implementation)


def check_supported(layer: nn.Module, rotary_size: int) -> None:
    """Refuse attention modules whose heads cannot be rotated one by one.

    Args:
        layer: A decoder layer.
        rotary_size: Length of the cosines that the layer receives.

    Raises:
        UnsupportedModelError: The attention module takes no further arguments, or rotates only a part of each head by
            itself, before the attention function.
    """
    attention_module = getattr(layer, "self_attn", None) or getattr(layer, "attention", None)
    apply = getattr(sys.modules[type(attention_module).__module__], "apply_rotary_pos_emb", None)
    name = type(attention_module).__name__
    parameters = inspect.signature(attention_module.forward).parameters.values() if attention_module else ()
    takes_more = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    try:
        with torch.device("cpu"):
            heads = torch.zeros(1, 1, 2, attention_module.head_dim if attention_module is not None else 0)
            angles = torch.ones(1, 1, 2, rotary_size)
            rotatable = apply is not None and rotate_heads(heads, (angles, angles), apply).shape == heads.shape
    except (RuntimeError, AttributeError, TypeError):
        rotatable = False
    if not (takes_more and rotatable):
        raise UnsupportedModelError(
            f"{name} cannot be given positions per head: it must take further arguments and rotate whole heads; "
            "use per_head=False for this model"
        )

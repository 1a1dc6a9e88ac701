"""Positions for each head, through Transformers' attention interface.

A decoder layer rotates all heads alike. Where each key-value head has its own positions, the layer is told to rotate by
nothing and the attention function, which sees queries and keys head by head, rotates them: with the model's own
`apply_rotary_pos_emb`, so that every layout of angles stays what it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from howfar.errors import UnsupportedModelError
from howfar.positions.shapes import Float

PREFIX = "howfar_"

CosSin = tuple[Tensor, Tensor]
"""Cosines and sines, `[batch, head, token, rotary]`."""


class PerHeadRotation(NamedTuple):
    """How an attention function rotates each head.

    Args:
        width: Length of the part of a head that is rotated.
        queries: Cosines and sines of the new tokens.
        keys: Cosines and sines of the latest tokens, the new ones last.
        num_tokens: All tokens so far.
    """

    width: int
    queries: CosSin
    keys: CosSin
    num_tokens: int | Tensor

    def of_keys(self, num_keys: int) -> CosSin:
        """Cosines and sines of the keys that a layer attends to.

        These are the latest `num_keys` tokens; or all tokens, and then empty slots of a static cache, which are masked.
        """
        cos, sin = self.keys
        if isinstance(self.num_tokens, int):
            return cos[..., -num_keys:, :], sin[..., -num_keys:, :]
        first = cos.shape[-2] - self.num_tokens.clamp(max=num_keys)
        slots = (first + torch.arange(num_keys, device=cos.device)).clamp(max=cos.shape[-2] - 1)
        return cos.index_select(-2, slots), sin.index_select(-2, slots)


def rotate_heads(
    states: Float[Tensor, "batch head token width"],
    rotation: CosSin,
    width: int,
    apply: Callable[..., tuple[Tensor, Tensor]],
) -> Float[Tensor, "batch head token width"]:
    """Rotate each head by its own angles.

    Args:
        states: Queries or keys.
        rotation: For each head, or for each group of as many neighbouring heads as fit.
        width: Length of the part of a head that is rotated, from its start.
        apply: The model's `apply_rotary_pos_emb`; it rotates all heads of a batch entry alike, so each head is handed
            to it as a batch entry of its own.
    """
    cos, sin = (part.repeat_interleave(states.shape[1] // part.shape[1], dim=1).flatten(0, 1) for part in rotation)
    flat = states.flatten(0, 1).unsqueeze(1)
    rotated, _ = apply(flat[..., :width], flat[:, :0, :, :width], cos, sin)
    return torch.cat((rotated, flat[..., width:]), dim=-1).view_as(states)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    implementation: str,
    per_head_rotation: PerHeadRotation | None = None,
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
        per_head_rotation: From the layer's increments; None in a layer without rotary positions.
        **kwargs: Passed on.
    """
    source = sys.modules[type(module).__module__]
    if per_head_rotation is not None:
        width, apply = per_head_rotation.width, source.apply_rotary_pos_emb
        query = rotate_heads(query, per_head_rotation.queries, width, apply)
        key = rotate_heads(key, per_head_rotation.of_keys(key.shape[-2]), width, apply)
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


def use_attention(decoder: PreTrainedModel) -> None:
    """Switch a decoder to the per-head variant of its attention function."""
    decoder.set_attn_implementation(register(decoder.config._attn_implementation))


def restore_attention(decoder: PreTrainedModel) -> None:
    """Switch a decoder back to the attention function that it had."""
    decoder.set_attn_implementation(decoder.config._attn_implementation.removeprefix(PREFIX))


def check_attention(decoder: PreTrainedModel) -> None:
    """Make sure that a decoder uses a per-head attention function; with another its heads would not be rotated.

    Raises:
        UnsupportedModelError: It was switched to another one, or has attention of its own that cannot be switched.
    """
    implementation = decoder.config._attn_implementation
    if not implementation.startswith(PREFIX):
        raise UnsupportedModelError(
            f"{type(decoder).__name__} attends by {implementation!r}, which rotates all heads alike; "
            f"for positions per head call model.set_attn_implementation({PREFIX + implementation!r})"
        )

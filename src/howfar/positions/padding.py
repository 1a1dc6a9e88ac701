"""Which tokens are padding, read from any kind of attention mask that a decoder got."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from howfar.errors import UnsupportedModelError
from howfar.positions.shapes import Bool, Int, Length


def one_mask(attention_mask: Any) -> Any:
    """Of masks by layer type, the one that hides the least."""
    if not isinstance(attention_mask, dict):
        return attention_mask
    masks = [attention_mask.get("full_attention"), *attention_mask.values()]
    return next((mask for mask in masks if mask is not None), None)


def check_mask(attention_mask: Any, num_rows: Length, num_tokens: Length) -> None:
    """Refuse a mask whose shape does not fit the new tokens.

    Raises:
        UnsupportedModelError: It has other rows, or fewer tokens.
    """
    mask = one_mask(attention_mask)
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 4):
        return  # `real_tokens` names these
    fits = mask.shape[0] in (1, num_rows) and mask.shape[-1] >= num_tokens
    if not fits or (mask.ndim == 4 and mask.shape[-2] != num_tokens):
        raise UnsupportedModelError(
            f"an attention mask of shape {tuple(mask.shape)} does not fit {num_rows} by {num_tokens} tokens; give one "
            f"of shape ({num_rows}, all tokens) or ({num_rows}, 1, {num_tokens}, all tokens), the cache's included"
        )


def real_tokens(
    attention_mask: Any, num_tokens: Length, num_past_tokens: int | Tensor = 0
) -> Bool[Tensor, "batch token"] | None:
    """Which of the new tokens are text, not padding.

    Args:
        attention_mask: None (no padding), a `[batch, all_tokens]` mask, or one that Transformers prepared for static
            caches: `[batch, 1, token, key]` (boolean or additive), or a dict of these by layer type.
        num_tokens: New tokens; the mask's entries for them follow those for the cache.
        num_past_tokens: Tokens in the cache before this pass.

    Raises:
        UnsupportedModelError: The mask is of another kind, which does not show padding.
    """
    attention_mask = one_mask(attention_mask)
    if attention_mask is None:
        return None
    if not isinstance(attention_mask, Tensor) or attention_mask.ndim not in (2, 4):
        raise UnsupportedModelError(
            f"an attention mask of type {type(attention_mask).__name__} does not show which tokens are padding; "
            "pass a [batch, token] mask"
        )
    if attention_mask.ndim == 2:
        index = own_keys(attention_mask, num_tokens, num_past_tokens)[0, 0]  # a longer mask is read from its start
        return attention_mask.index_select(-1, index).bool()
    # A token that may not attend to itself is padding.
    index = own_keys(attention_mask, num_tokens, num_past_tokens).mT.expand(attention_mask.shape[0], -1, -1)
    own = attention_mask[:, 0].gather(-1, index)[..., 0]
    return own if own.dtype == torch.bool else own == 0


def own_keys(mask: Tensor, num_tokens: Length, num_past_tokens: int | Tensor) -> Int[Tensor, "one one token"]:
    """The keys of a mask (its last dimension) that are the new tokens."""
    order = torch.arange(num_tokens, device=mask.device)
    own = num_past_tokens + order
    # Sliding windows have dropped the oldest keys: the new tokens then stand at the end.
    return own.clamp(max=mask.shape[-1] - num_tokens + order)[None, None]

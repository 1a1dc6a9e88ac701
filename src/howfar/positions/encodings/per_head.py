"""Rotary positions for each head.

A decoder layer rotates all heads alike. With positions per head, the layer's own rotation is made the
identity and the attention function, which gets queries and keys head by head, rotates them with the model's own
`apply_rotary_pos_emb`, so that every layout of angles keeps working.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from howfar.errors import UnsupportedModelError
from howfar.positions.arguments import LayerCall
from howfar.positions.encodings.attending import Attending, Step, of_keys
from howfar.positions.encodings.rotary import Rotary
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.shapes import Float, Length

CosSin = tuple[Tensor, ...]
"""Cosines and sines, `[batch, head, token, rotary]`."""

Apply = Callable[..., tuple[Tensor, Tensor]]
"""`apply(query, key, cos, sin)` rotates both."""


class RotaryPerHead(Attending, Rotary):
    """Rotates the queries and keys of each head by that head's positions."""

    without = "which rotates all heads alike"

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Find how the model rotates, and switch its attention function."""
        self.apply = rotation_function(decoder)
        super().prepare(decoder)

    def before_attention(self, layer: nn.Module, call: LayerCall, learned: LayerPositions, index: int) -> Step:
        """Rotate each head."""
        queries = keys = self.cosines_and_sines(index, layer, call, learned)
        rotation = self.rotations[index]
        if learned.all_positions is not learned.positions:
            keys = self.rotate(learned.all_positions, queries[0].dtype, rotation, learned)
        return partial(_rotate, queries, keys, learned.num_tokens, rotation.width, self.apply)


def _rotate(
    queries: CosSin,
    keys: CosSin,
    num_tokens: Length | Tensor,
    width: int,
    apply: Apply,
    query: Tensor,
    key: Tensor,
    scaling: float,
) -> tuple[Tensor, Tensor]:
    """A step before attention."""
    of = tuple(of_keys(part, key.shape[-2], num_tokens, -2) for part in keys)
    return rotate_heads(query, queries, width, apply), rotate_heads(key, of, width, apply)


def rotation_function(decoder: PreTrainedModel) -> Apply:
    """An architecture's `apply_rotary_pos_emb`.

    Raises:
        UnsupportedModelError: The architecture has none.
    """
    name = type(decoder).__name__
    apply = getattr(sys.modules[type(decoder).__module__], "apply_rotary_pos_emb", None)
    if apply is None:
        raise UnsupportedModelError(f"{name} has no function that rotates one head; use per_head=False for this model")
    return apply if "k" in inspect.signature(apply).parameters else partial(_apply_to_one, apply)


def _apply_to_one(apply: Callable[..., Tensor], query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> Any:
    """For architectures that rotate queries and keys in separate calls."""
    return apply(query, cos, sin), key


def rotate_heads(
    states: Float[Tensor, "batch head token width"],
    rotation: CosSin,
    width: int,
    apply: Apply,
) -> Float[Tensor, "batch head token width"]:
    """Rotate each head by its own angles.

    Args:
        states: Queries or keys.
        rotation: Angles of each head, or of each group of neighbouring heads that share them.
        width: Width of the rotated part of a head, from its start.
        apply: The model's own rotation, which rotates all heads of a batch entry alike; so each head is passed
            as a batch entry of its own.
    """
    cos, sin = (part.repeat_interleave(states.shape[1] // part.shape[1], dim=1).flatten(0, 1) for part in rotation)
    flat = states.flatten(0, 1).unsqueeze(1)
    rotated, _ = apply(flat[..., :width], flat[:, :0, :, :width], cos, sin)
    return torch.cat((rotated, flat[..., width:]), dim=-1).view_as(states)

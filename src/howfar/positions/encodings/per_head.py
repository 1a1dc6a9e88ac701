"""Rotary positions for each head, through Transformers' attention interface.

A decoder layer rotates all heads alike. Where each key-value head has its own positions, the layer is told to rotate by
nothing and the attention function, which sees queries and keys head by head, rotates them: with the model's own
`apply_rotary_pos_emb`, so that every layout of angles stays what it is.
"""

from __future__ import annotations

import inspect
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
from howfar.positions.arguments import LayerCall
from howfar.positions.encodings.rotary import Rotary
from howfar.positions.places import Places
from howfar.positions.shapes import Float, Length

PREFIX = "howfar_"

CosSin = tuple[Tensor, Tensor]
"""Cosines and sines, `[batch, head, token, rotary]`."""

Apply = Callable[..., tuple[Tensor, Tensor]]
"""`apply(query, key, cos, sin)` rotates both."""


class RotaryPerHead(Rotary):
    """Rotates the queries and keys of each head by positions of its own.

    Args:
        rotations: How each layer rotates, by its index.
    """

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Switch the decoder to the per-head variant of its attention function."""
        self.apply = rotation_function(decoder)
        decoder.set_attn_implementation(register(decoder.config._attn_implementation))

    def restore(self, decoder: PreTrainedModel) -> None:
        """Switch the decoder back to the attention function that it had."""
        decoder.set_attn_implementation(decoder.config._attn_implementation.removeprefix(PREFIX))

    def check(self, decoder: PreTrainedModel) -> None:
        """Make sure that the decoder attends by a per-head function; with another its heads would not be rotated.

        Raises:
            UnsupportedModelError: It was switched to another one, or has attention of its own that cannot be switched.
        """
        implementation = decoder.config._attn_implementation
        if not implementation.startswith(PREFIX):
            raise UnsupportedModelError(
                f"{type(decoder).__name__} attends by {implementation!r}, which rotates all heads alike; "
                f"for positions per head call model.set_attn_implementation({PREFIX + implementation!r})"
            )

    def reach(self, index: int, layer: nn.Module, call: LayerCall, places: Places) -> tuple[tuple[Any, ...], Any]:
        """Let the layer rotate by nothing, and hand the attention function what to rotate each head by."""
        queries = cos, sin = self.cosines_and_sines(index, layer, call, places)
        keys = queries
        if places.all_positions is not places.positions:
            frequencies = places.frequencies.get(self.rotations[index].prefix)
            keys = self.rotations[index](places.all_positions, cos.dtype, frequencies)
        call.set("position_embeddings", (torch.ones_like(cos[:1, 0]), torch.zeros_like(sin[:1, 0])))
        rotation = PerHeadRotation(self.apply, self.rotations[index].width, queries, keys, places.num_tokens)
        call.set("per_head_rotation", rotation)
        return call.arguments


class PerHeadRotation(NamedTuple):
    """How an attention function rotates each head.

    Args:
        apply: The model's way to rotate.
        width: Length of the part of a head that is rotated.
        queries: Cosines and sines of the new tokens.
        keys: Cosines and sines of the latest tokens, the new ones last.
        num_tokens: All tokens so far.
    """

    apply: Apply
    width: int
    queries: CosSin
    keys: CosSin
    num_tokens: Length | Tensor

    def of_keys(self, num_keys: Length) -> CosSin:
        """Cosines and sines of the keys that a layer attends to.

        These are the latest `num_keys` tokens; or all tokens, and then empty slots of a static cache, which are masked.
        """
        cos, sin = self.keys
        if not isinstance(self.num_tokens, Tensor):
            return cos[..., -num_keys:, :], sin[..., -num_keys:, :]
        first = cos.shape[-2] - self.num_tokens.clamp(max=num_keys)
        slots = (first + torch.arange(num_keys, device=cos.device)).clamp(max=cos.shape[-2] - 1)
        return cos.index_select(-2, slots), sin.index_select(-2, slots)


def rotation_function(decoder: PreTrainedModel) -> Apply:
    """An architecture's `apply_rotary_pos_emb`.

    Raises:
        UnsupportedModelError: It has none.
    """
    name = type(decoder).__name__
    apply = getattr(sys.modules[type(decoder).__module__], "apply_rotary_pos_emb", None)
    if apply is None:
        raise UnsupportedModelError(f"{name} has no function that rotates one head; use per_head=False for this model")
    return apply if "k" in inspect.signature(apply).parameters else partial(_apply_to_one, apply)


def _apply_to_one(apply: Callable[..., Tensor], query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> Any:
    """For architectures that rotate queries and keys each by a call."""
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
        rotation: For each head, or for each group of as many neighbouring heads as fit.
        width: Length of the part of a head that is rotated, from its start.
        apply: The model's way to rotate; it rotates all heads of a batch entry alike, so each head is handed
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
        width, apply = per_head_rotation.width, per_head_rotation.apply
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

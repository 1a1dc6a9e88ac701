"""What encodings do to queries and keys, through Transformers' attention interface.

The attention functions that a model is switched to are Transformers' own, behind a step that the layer's encoding asked
for: it sees queries, keys (cached ones included) and values head by head, and gives others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from howfar.errors import UnsupportedModelError
from howfar.positions.arguments import LayerCall
from howfar.positions.encodings.encoding import Encoding
from howfar.positions.places import Places
from howfar.positions.shapes import Length

PREFIX = "howfar_"
MULTIPLE = 8  # a head's width must be a multiple of it for the fused kernels

Step = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""`step(query, key, scaling)`: others, `[batch, head, token, width]` and `[batch, key_value_head, all_tokens, width]`.

The width may be another one. Scores are the product of the two times `scaling`, which stays what it was."""


class Attending(Encoding):
    """An encoding that does something to queries and keys."""

    without: ClassVar[str] = "which leaves its positions out"

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Switch the decoder to the variant of its attention function that takes a step."""
        decoder.set_attn_implementation(register(decoder.config._attn_implementation))

    def restore(self, decoder: PreTrainedModel) -> None:
        """Switch the decoder back to the attention function that it had."""
        decoder.set_attn_implementation(decoder.config._attn_implementation.removeprefix(PREFIX))

    def check(self, decoder: PreTrainedModel) -> None:
        """Make sure that the decoder attends by such a variant; with another function it would know no positions.

        Raises:
            UnsupportedModelError: It was switched to another one, or has attention of its own that cannot be switched.
        """
        implementation = decoder.config._attn_implementation
        if not implementation.startswith(PREFIX):
            raise UnsupportedModelError(
                f"{type(decoder).__name__} attends by {implementation!r}, {self.without}; "
                f"call model.set_attn_implementation({PREFIX + implementation!r})"
            )

    def before_attention(self, layer: nn.Module, call: LayerCall, places: Places, index: int) -> Step:
        """What is done to this layer's queries and keys."""
        raise NotImplementedError

    def reach(self, index: int, layer: nn.Module, call: LayerCall, places: Places) -> tuple[tuple[Any, ...], Any]:
        """Let the layer rotate by nothing, and hand the attention function what is to be done."""
        step = self.before_attention(layer, call, places, index)
        rotate_by_nothing(call)
        call.set("before_attention", step)
        return call.arguments


def config_of(layer: nn.Module) -> Any:
    """The configuration of the model that a decoder layer is of."""
    return layer.get_submodule("self_attn").config


def rotate_by_nothing(call: LayerCall) -> None:
    """Hand a layer cosines of 1 and sines of 0."""
    cos, sin = call.get("position_embeddings")
    call.set("position_embeddings", (torch.ones_like(cos[:1]), torch.zeros_like(sin[:1])))


def of_keys(values: Tensor, num_keys: Length, num_tokens: Length | Tensor, dim: int) -> Tensor:
    """What is known of all latest tokens, for the keys that a layer attends to.

    These are the latest `num_keys` tokens; or all tokens, and then empty slots of a static cache, which are masked.

    Args:
        values: Of the latest tokens, the new ones last.
        num_keys: Keys.
        num_tokens: All tokens so far; a tensor with a static cache.
        dim: The dimension of the tokens, counted from the end.
    """
    num_latest = values.shape[dim]
    if not isinstance(num_tokens, Tensor):
        return values.narrow(dim, num_latest - num_keys, num_keys) if num_keys != num_latest else values
    first = num_latest - num_tokens.clamp(max=num_keys)
    slots = (first + torch.arange(num_keys, device=values.device)).clamp(max=num_latest - 1)
    return values.index_select(dim, slots)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    implementation: str,
    before_attention: Step | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Take an encoding's step, then attend by another of Transformers' attention functions.

    Args:
        module: The attention module.
        query: `[batch, head, token, width]`.
        key: `[batch, key_value_head, all_tokens, width]`, cached ones included.
        value: As `key`.
        attention_mask: Passed on.
        implementation: Name of the attention function that does the rest (`"sdpa"`, `"eager"`, ...).
        before_attention: From the layer's encoding; None in a layer that it leaves alone.
        **kwargs: Passed on.
    """
    source = sys.modules[type(module).__module__]
    width = value.shape[-1]
    if before_attention is not None:
        if kwargs.get("scaling") is None:
            kwargs["scaling"] = query.shape[-1] ** -0.5
        query, key = before_attention(query, key, kwargs["scaling"])
        query, key, value = side_by_side(query, key, value)
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, getattr(source, "eager_attention_forward", None))
    output, weights = attend(module, query, key, value, attention_mask, **kwargs)
    return output[..., :width], weights


def side_by_side(*parts: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values of one width, as fused attention wants them; what is added is zero."""
    width = max(part.shape[-1] for part in parts)
    if any(part.shape[-1] != width for part in parts):
        width += -width % MULTIPLE
    return tuple(part if part.shape[-1] == width else F.pad(part, (0, width - part.shape[-1])) for part in parts)


def register(implementation: str) -> str:
    """Make the variant of an attention function known to Transformers; returns its name."""
    name = PREFIX + implementation
    AttentionInterface.register(name, partial(attention, implementation=implementation))
    if implementation in ALL_MASK_ATTENTION_FUNCTIONS:  # others are handed no mask
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[implementation])
    return name


for _implementation in ("eager", "sdpa"):  # so that a model can be switched to them by name at any time
    register(_implementation)

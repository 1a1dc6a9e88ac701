"""Change queries and keys before attention, through Transformers' attention interface.

The model is switched to Transformers' own attention functions with a step in front, which the layer's encoding
supplies: it gets queries, keys (cached ones included) and values head by head, and returns new ones.
"""

from __future__ import annotations

import sys
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
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.shapes import Length

PREFIX = "howfar_"
MULTIPLE = 8  # a head's width must be a multiple of it for the fused kernels

Step = partial[tuple[Tensor, Tensor]]
"""`step(query, key, scaling)`: new `[batch, head, token, width]` and `[batch, key_value_head, all_tokens, width]`.

A step holds what it needs of positions as its first arguments. The width may change. Scores are their product times the
same `scaling`."""


class Attending(Encoding):
    """An encoding that changes queries and keys."""

    without: ClassVar[str] = "which leaves its positions out"

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Switch the decoder to the variant of its attention function that takes a step."""
        decoder.set_attn_implementation(register(decoder.config._attn_implementation))

    def restore(self, decoder: PreTrainedModel) -> None:
        """Switch the decoder back to its previous attention function."""
        decoder.set_attn_implementation(decoder.config._attn_implementation.removeprefix(PREFIX))

    def check(self, decoder: PreTrainedModel) -> None:
        """Check that the decoder uses such a variant; any other function ignores positions.

        Raises:
            UnsupportedModelError: It was switched to another function, or its attention cannot be switched.
        """
        implementation = decoder.config._attn_implementation
        if not implementation.startswith(PREFIX):
            raise UnsupportedModelError(
                f"{type(decoder).__name__} attends by {implementation!r}, {self.without}; "
                f"call model.set_attn_implementation({PREFIX + implementation!r})"
            )

    def before_attention(self, layer: nn.Module, call: LayerCall, learned: LayerPositions, index: int) -> Step:
        """The step for this layer's queries and keys."""
        raise NotImplementedError

    def reach(
        self, index: int, layer: nn.Module, call: LayerCall, learned: LayerPositions
    ) -> tuple[tuple[Any, ...], Any]:
        """Make the layer's own rotation the identity, and pass the step to the attention function."""
        step = self.before_attention(layer, call, learned, index)
        rotate_by_nothing(call)
        call.set("before_attention", step)
        return call.arguments


def config_of(layer: nn.Module) -> Any:
    """The configuration of a decoder layer's model."""
    return layer.get_submodule("self_attn").config


def rotate_by_nothing(call: LayerCall) -> None:
    """Give a layer cosines of 1 and sines of 0."""
    cos, sin = call.get("position_embeddings")
    call.set("position_embeddings", (torch.ones_like(cos[:1]), torch.zeros_like(sin[:1])))


def of_keys(values: Tensor, num_keys: Length, num_tokens: Length | Tensor, dim: int) -> Tensor:
    """The values that belong to the keys of a layer.

    The keys are the latest `num_keys` tokens; or all tokens, then the empty, masked slots of a static cache.

    Args:
        values: Those of the latest tokens, the new ones last.
        num_keys: Number of keys.
        num_tokens: All tokens so far; a tensor with a static cache.
        dim: The dimension of the tokens, counted from the end.
    """
    num_latest = values.shape[dim]
    if isinstance(num_tokens, Tensor):
        first: int | Tensor = num_latest - num_tokens.clamp(max=num_keys)
    elif num_keys > num_latest:
        first = 0  # a hybrid's cache, some layers of which are static
    else:
        return values.narrow(dim, num_latest - num_keys, num_keys) if num_keys != num_latest else values
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
    """Run an encoding's step, then one of Transformers' attention functions.

    Args:
        module: The attention module.
        query: `[batch, head, token, width]`.
        key: `[batch, key_value_head, all_tokens, width]`, cached ones included.
        value: As `key`.
        attention_mask: Passed on.
        implementation: Name of the attention function that does the rest (`"sdpa"`, `"eager"`, ...).
        before_attention: The step of the layer's encoding; None in a layer without one.
        **kwargs: Passed on.
    """
    source = sys.modules[type(module).__module__]
    width = value.shape[-1]
    if before_attention is not None:
        if kwargs.get("scaling") is None:
            kwargs["scaling"] = query.shape[-1] ** -0.5
        # Accelerate moves a layer's arguments to its device, but not what a partial holds.
        held = _moved(before_attention.args, query.device)
        query, key = before_attention.func(*held, query, key, kwargs["scaling"])
        if implementation != "eager":
            query, key, value = side_by_side(query, key, value)
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, getattr(source, "eager_attention_forward", None))
    output, weights = attend(module, query, key, value, attention_mask, **kwargs)
    return output[..., :width], weights


def _moved(value: Any, device: torch.device) -> Any:
    """A value with its tensors on a device."""
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    return value.to(device) if isinstance(value, Tensor) else value


def side_by_side(*parts: Tensor) -> tuple[Tensor, ...]:
    """Pad queries, keys and values with zeros to one width, which fused attention needs."""
    width = max(part.shape[-1] for part in parts)
    if any(part.shape[-1] != width for part in parts):
        width += -width % MULTIPLE
    return tuple(part if part.shape[-1] == width else F.pad(part, (0, width - part.shape[-1])) for part in parts)


def register(implementation: str) -> str:
    """Register the variant of an attention function with Transformers; returns its name."""
    name = PREFIX + implementation
    AttentionInterface.register(name, partial(attention, implementation=implementation))
    if implementation in ALL_MASK_ATTENTION_FUNCTIONS:  # other names get no mask
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[implementation])
    return name


for _implementation in ("eager", "sdpa"):  # so that a model can switch to them by name at any time
    register(_implementation)

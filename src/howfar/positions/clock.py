"""The running sum of increments, and how it follows the key-value cache.

A layer's *clock* is the sum of its increments up to and including a token. It is summed in float64, so that decoding
token by token gives the same clock as one full pass. While decoding, the clock rides along as one more layer of the
Transformers cache: whatever happens to the cache (beam reordering, cropping, batch repeat and select, reset) then
happens to the clock too, without anything being patched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DummyLayer

from howfar.errors import UnsupportedModelError
from howfar.positions.shapes import Float, Int


def running_sum(increments: Float[Tensor, "batch head token"]) -> Float[Tensor, "batch head token"]:
    """Inclusive sum over tokens, in float64 where the device has it."""
    return increments.to(torch.float32 if increments.device.type == "mps" else torch.float64).cumsum(dim=-1)


class GrowingClock(DummyLayer):
    """Clocks beside a dynamic cache: each layer's at every token so far, so that it can be cropped anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[int, Tensor] = {}

    def advance(self, layer: int, sums: Float[Tensor, "batch head token"]) -> Float[Tensor, "batch head all_tokens"]:
        """Continue a layer's clock.

        Args:
            layer: The decoder layer's index.
            sums: Running sum of the new tokens' increments alone.

        Returns:
            The clock at all tokens so far, the new ones last.
        """
        past = self.sums.get(layer)
        if past is not None and past.shape[-1]:
            sums = torch.cat((past, past[..., -1:] + sums), dim=-1)
        self.sums[layer] = sums
        return sums

    def num_tokens(self, layer: int) -> int:
        """Tokens so far."""
        return self.sums[layer].shape[-1]

    def reset(self) -> None:
        """Forget all tokens."""
        self.sums.clear()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` tokens (Transformers counts them downwards)."""
        if tokens_to_remove:
            self.sums = {layer: past[..., :tokens_to_remove] for layer, past in self.sums.items()}

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        """Follow the beams."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sequence."""
        self.sums = {layer: past.repeat_interleave(repeats, dim=0) for layer, past in self.sums.items()}

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these sequences."""
        self.sums = {layer: past[indices.to(past.device)] for layer, past in self.sums.items()}


class StaticClock(DummyLayer):
    """Clocks beside a static cache: at the latest tokens, in buffers of a fixed size and address for compiled decoding.

    Args:
        max_length: Most tokens that a layer of the cache holds.
    """

    is_croppable = False

    def __init__(self, max_length: int) -> None:
        super().__init__()
        self.max_length = max_length
        self.buffers: dict[int, Tensor] = {}
        self.lengths: dict[int, Tensor] = {}

    def advance(self, layer: int, sums: Float[Tensor, "batch head token"]) -> Float[Tensor, "batch head latest_token"]:
        """As `GrowingClock.advance`, for the latest tokens; before the first token the clock stands at 0."""
        if layer not in self.buffers:
            self.buffers[layer] = sums.new_zeros((*sums.shape[:-1], self.max_length))
            self.lengths[layer] = torch.zeros(1, dtype=torch.long, device=sums.device)
            if not torch.compiler.is_compiling():
                torch._dynamo.mark_static_address(self.buffers[layer])
                torch._dynamo.mark_static_address(self.lengths[layer])
        buffer = self.buffers[layer]
        history = torch.cat((buffer, buffer[..., -1:] + sums), dim=-1)
        buffer.copy_(history[..., -self.max_length :])
        self.lengths[layer].add_(sums.shape[-1])
        return history

    def num_tokens(self, layer: int) -> Int[Tensor, "1"]:
        """Tokens so far, also those that the buffer has let go of."""
        return self.lengths[layer]

    def reset(self) -> None:
        """Forget all tokens, keep the buffers."""
        for buffer, length in zip(self.buffers.values(), self.lengths.values(), strict=True):
            buffer.zero_()
            length.zero_()

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        """Follow the beams."""
        for buffer in self.buffers.values():
            buffer.copy_(buffer.index_select(0, beam_idx.to(buffer.device)))


def clock_of(cache: Any, layer: int, num_layers: int) -> GrowingClock | StaticClock:
    """The clock that rides along in a cache; added at its first use.

    Args:
        cache: The cache that a decoder layer was given.
        layer: The index of that layer, which has not written to the cache in this pass.
        num_layers: Decoder layers of the model. A cache that makes its layers when they are first written gets them
            now, so that the clock stands behind them.

    Raises:
        UnsupportedModelError: The cache is not a list of layers, or it holds tokens whose increments are not known.
    """
    layers = getattr(cache, "layers", None)
    if layers is None:
        raise UnsupportedModelError(
            f"{type(cache).__name__} is not a list of cache layers, so positions cannot follow it; "
            "use a Transformers cache such as DynamicCache or StaticCache"
        )
    if layers and isinstance(layers[-1], GrowingClock | StaticClock):
        return layers[-1]
    if layer < len(layers) and layers[layer].is_initialized and int(cache.get_seq_length(layer)) > 0:
        raise UnsupportedModelError(
            "the cache was filled without increments, so its positions are unknown; start with a new one"
        )
    static = cache.is_compileable and cache.get_max_length() > 0
    clock = StaticClock(cache.get_max_length()) if static else GrowingClock()
    if cache.layer_class_to_replicate is not None:
        layers.extend(cache.layer_class_to_replicate() for _ in range(num_layers - len(layers)))
    layers.append(clock)
    return clock

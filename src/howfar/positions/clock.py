"""The positions of earlier tokens, which follow the key-value cache.

While decoding, each layer's *history* is attached to the Transformers cache, as its clock: whatever happens to the
cache (beam reordering, cropping, batch repeat and select, reset) happens to the clock too. To do so, the cache changes
its class to a subclass that is otherwise the same; its layers and their number stay the same.

A history is `[batch, plane, head, token]`. Its three planes are each token's displacement, its position, and the base
position that would continue it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, EncoderDecoderCache

from howfar.errors import UnsupportedModelError
from howfar.positions.shapes import Float, Int


class GrowingClock:
    """Histories beside a dynamic cache: each layer's at every token so far, so that it can be cropped anywhere.

    Layers at the same positions share one tensor.
    """

    def __init__(self) -> None:
        self.histories: dict[int, Tensor] = {}
        self.frequencies: dict[str, Tensor] = {}

    def past(self, layer: int) -> Float[Tensor, "batch plane head past_token"] | None:
        """The history of a layer before this pass; None if it has none."""
        past = self.histories.get(layer)
        return past if past is not None and past.shape[-1] else None

    def append(
        self, layer: int, new: Float[Tensor, "batch plane head token"]
    ) -> Float[Tensor, "batch plane head all_tokens"]:
        """Continue a layer's history.

        Args:
            layer: The decoder layer's index.
            new: The planes of the new tokens.

        Returns:
            The history of all tokens so far, the new ones last.
        """
        past = self.past(layer)
        self.histories[layer] = new if past is None else torch.cat((past, new), dim=-1)
        return self.histories[layer]

    def share(self, layer: int, first: int) -> None:
        """Share the history of an earlier layer, which this pass has already continued."""
        self.histories[layer] = self.histories[first]

    def num_tokens(self, layer: int) -> int:
        """Tokens so far."""
        return self.histories[layer].shape[-1] if layer in self.histories else 0

    def reset(self) -> None:
        """Forget all tokens."""
        self.histories.clear()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last `-tokens_to_remove` tokens (Transformers counts them downwards)."""
        if tokens_to_remove:
            self._change(lambda past: past[..., :tokens_to_remove])

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        """Reorder the histories as the beams are reordered."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sequence."""
        self._change(lambda past: past.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these sequences only."""
        self._change(lambda past: past[indices.to(past.device)])

    def _change(self, change: Any) -> None:
        changed = {id(past): change(past) for past in self.histories.values()}
        self.histories = {layer: changed[id(past)] for layer, past in self.histories.items()}


class StaticClock:
    """Histories beside a static cache: the latest tokens, in buffers of a fixed size for compiled decoding.

    Before the first token all planes are 0.

    Args:
        max_length: The most tokens that a layer of the cache holds.
    """

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.frequencies: dict[str, Tensor] = {}
        self.buffers: dict[int, Tensor] = {}
        self.lengths: dict[int, Tensor] = {}
        self._is_shared = False

    def past(self, layer: int) -> Float[Tensor, "batch plane head past_token"] | None:
        """As `GrowingClock.past`."""
        return self.buffers.get(layer)

    def append(
        self, layer: int, new: Float[Tensor, "batch plane head token"]
    ) -> Float[Tensor, "batch plane head latest_token"]:
        """As `GrowingClock.append`, for the latest tokens."""
        if layer not in self.buffers:
            self.buffers[layer] = new.new_zeros((*new.shape[:-1], self.max_length))
            self.lengths[layer] = torch.zeros(1, dtype=torch.long, device=new.device)
            if not torch.compiler.is_compiling():
                torch._dynamo.mark_static_address(self.buffers[layer])
                torch._dynamo.mark_static_address(self.lengths[layer])
        elif self._is_shared and any(self.buffers[layer] is b for other, b in self.buffers.items() if other != layer):
            # From here on the layers differ: an override moves them.
            self.buffers[layer], self.lengths[layer] = self.buffers[layer].clone(), self.lengths[layer].clone()
        buffer = self.buffers[layer]
        history = torch.cat((buffer, new), dim=-1)
        buffer.copy_(history[..., -self.max_length :])
        self.lengths[layer].add_(new.shape[-1])
        return history

    def share(self, layer: int, first: int) -> None:
        """As `GrowingClock.share`."""
        self.buffers[layer], self.lengths[layer], self._is_shared = self.buffers[first], self.lengths[first], True

    def num_tokens(self, layer: int) -> Int[Tensor, "1"]:
        """Tokens so far, including those that the buffer has dropped."""
        return self.lengths[layer]

    def crop(self, tokens_to_remove: int) -> None:
        """As `GrowingClock.crop`."""
        if tokens_to_remove:
            for buffer in {id(buffer): buffer for buffer in self.buffers.values()}.values():
                buffer.copy_(torch.nn.functional.pad(buffer[..., :tokens_to_remove], (-tokens_to_remove, 0)))
            for length in {id(length): length for length in self.lengths.values()}.values():
                length.add_(tokens_to_remove)

    def reset(self) -> None:
        """Forget all tokens; keep the buffers."""
        for tensor in (*self.buffers.values(), *self.lengths.values()):
            tensor.zero_()

    def reorder_cache(self, beam_idx: Int[Tensor, " batch"]) -> None:
        """Reorder the histories as the beams are reordered."""
        for buffer in {id(buffer): buffer for buffer in self.buffers.values()}.values():
            buffer.copy_(buffer.index_select(0, beam_idx.to(buffer.device)))


Clock = GrowingClock | StaticClock


class _Clocked:
    """Mixed into a cache's class in front: what happens to the cache happens to its clock."""

    clock: Any

    def reset(self) -> None:
        super().reset()  # type: ignore[misc]
        self.clock.reset()

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)  # type: ignore[misc]
        self.clock.crop(tokens_to_remove)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)  # type: ignore[misc]
        self.clock.reorder_cache(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)  # type: ignore[misc]
        self.clock.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)  # type: ignore[misc]
        self.clock.batch_select_indices(indices)

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self).__mro__[2],), vars(self)


@functools.cache
def _clocked(kind: type) -> type:
    return type(kind.__name__, (_Clocked, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def _blank(kind: type) -> Any:
    """An empty cache of this class, for copies and pickles, which set its attributes later."""
    return object.__new__(_clocked(kind))


def clock_of(cache: Any, *, is_new: bool = False) -> Clock | None:
    """The clock of a cache; created at its first use.

    Args:
        cache: The cache that the decoder was given or created.
        is_new: Whether it was created in this pass, whose first layers may have written to it.

    Returns:
        None for a cache created by compiled code, whose class cannot be changed: it is refused once it is filled.

    Raises:
        UnsupportedModelError: The cache is not one of Transformers', holds tokens of unknown increments, or is static
            in a model that is being exported.
    """
    if torch.compiler.is_exporting() and getattr(cache, "is_compileable", False):
        raise UnsupportedModelError(
            "a model with increments cannot be exported together with a static cache, since the positions of cached "
            "tokens would be missing from the exported program; export it with use_cache=False, or by `howfar export`"
        )
    if isinstance(cache, _Clocked):
        return cache.clock
    if not isinstance(cache, Cache) or isinstance(cache, EncoderDecoderCache):
        raise UnsupportedModelError(
            f"{type(cache).__name__} is not a list of cache layers, so positions cannot follow it; "
            "use a Transformers cache, for example DynamicCache"
        )
    if is_new and torch.compiler.is_compiling():
        return None
    if not is_new and not is_empty(cache):
        raise UnsupportedModelError(
            "the cache was filled without increments, so its positions are unknown; start with a new one"
        )
    static = cache.is_compileable and cache.get_max_length() > 0
    cache.clock = StaticClock(cache.get_max_length()) if static else GrowingClock()
    cache.__class__ = _clocked(type(cache))  # type: ignore[arg-type]
    return cache.clock


def is_empty(cache: Cache) -> bool:
    """Whether no layer of a cache holds a token."""
    return not any(
        getattr(layer, "is_initialized", False) and hasattr(layer, "get_seq_length") and int(layer.get_seq_length())
        for layer in cache.layers
    )


def check_length(cache: Any, clock: Clock, layer: int) -> None:
    """Check that a cache holds the tokens that its clock knows.

    Raises:
        UnsupportedModelError: Tokens were added to or removed from the cache without its clock.
    """
    if isinstance(clock, StaticClock) and (torch.compiler.is_compiling() or layer != next(iter(clock.lengths), None)):
        return  # its layers grow together, and a device waits for each number that is read
    if layer >= len(cache.layers):
        return
    own = getattr(cache.layers[layer], "get_seq_length", None)
    known = clock.num_tokens(layer)
    if own is not None and isinstance(found := own(), int | Tensor) and int(found) != int(known):
        raise UnsupportedModelError(
            f"layer {layer} of the cache holds {int(found)} tokens, and the positions of {int(known)} are known; use a "
            "cache only while the increments are attached, and change it by its own methods (crop, reorder_cache, "
            "batch_select_indices), not its tensors"
        )


def check_frequencies(clock: Clock, prefix: str, now: Tensor, num_past_tokens: int | Tensor) -> None:
    """Check that unrotated cached keys are still rotated by the frequencies of the pass that cached them.

    Args:
        clock: The cache's clock.
        prefix: Names the set of the model's frequencies.
        now: The frequencies of this pass, `[frequency]`.
        num_past_tokens: Tokens in the cache before this pass.

    Raises:
        UnsupportedModelError: The text has reached a length at which the model changes them, or may have.
    """
    if not torch.compiler.is_compiling():
        before = clock.frequencies.get(prefix) if int(num_past_tokens) else None
        if before is None or torch.equal(before, now):
            clock.frequencies[prefix] = now
            return
    raise UnsupportedModelError(
        "the model changes its rotary frequencies with the length of the text (dynamic RoPE or LongRoPE), and with "
        "positions per head its cached keys would change with them; give the whole text at once with "
        "use_cache=False and without torch.compile, or attach increments with per_head=False"
    )

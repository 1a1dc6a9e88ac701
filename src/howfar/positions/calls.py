"""The state of one thread's calls, so that threads can share a model.

A model is one object for all threads; a forward pass, an override and a recording belong to the thread that began them.
They are kept in a `threading.local`, not in a context variable, because `torch.compile` reads the former without
a graph break and checks it again, in the calling thread, before it reuses a graph.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from howfar.errors import OverrideError, UnsupportedModelError
from howfar.positions.base_positions import BasePositions, base_positions
from howfar.positions.clock import Clock, StaticClock, clock_of
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.padding import check_mask

IncrementFunction = Callable[[int, Tensor], Any]
"""`fn(layer, increments)` gives increments, or what broadcasts to them; both are `[batch, head, token]`."""


@dataclass
class Recording:
    """What each layer used in the latest forward pass, by decoder layer; `[batch, head, token]`, in positions."""

    increments: dict[int, Tensor] = field(default_factory=dict)
    positions: dict[int, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        shapes = {tuple(increments.shape) for increments in self.increments.values()}
        of_each = f", each {' or '.join(map(str, sorted(shapes)))} [batch, head, token]" if shapes else ""
        return f"Recording(increments and positions of {len(self.increments)} layers{of_each})"


@dataclass
class ForwardPass:
    """What the layers of one forward pass share.

    Args:
        decoder: The module that runs the layers; in another process or on another device, its copy there.
        attention_mask: As the decoder got it.
        position_ids: As the decoder got them.
        num_past_tokens: Tokens in the cache before this pass.
        cache: The cache that the decoder got or created.
        token_ids: As the decoder got them; None if it got embeddings.
        clock: That cache's clock.
        base: Where the base model puts the tokens.
        shared_increments: The increments before overrides; with a shared network.
        shared_positions: The positions of the first layer; with a shared network and no overrides.
        frequencies: By the prefix of their `Rotation`, in models that change them with the length of a text.
        overridden: The increments of each layer after overrides, in models whose layers share keys.
    """

    decoder: nn.Module
    attention_mask: Any
    position_ids: Tensor | None
    num_past_tokens: int | Tensor
    cache: Any
    clock: Clock | None
    token_ids: Tensor | None = None
    base: BasePositions | None = None
    shared_increments: Tensor | None = None
    shared_positions: LayerPositions | None = None
    frequencies: dict[str, Tensor] = field(default_factory=dict)
    overridden: dict[int, Tensor] = field(default_factory=dict)

    def clock_of(self, cache: Any) -> Clock | None:
        """The clock of the cache that a layer got."""
        if cache is not self.cache:  # the decoder got none and created one
            self.cache, self.clock = cache, None if cache is None else clock_of(cache, is_new=True)
        return self.clock

    def base_positions_of(self, increments: Tensor, past: Tensor | None) -> BasePositions:
        """Where the base model puts the tokens, on the device of these increments."""
        if self.base is None:
            check_mask(self.attention_mask, len(increments), increments.shape[-1])
            self.base = base_positions(
                self.position_ids,
                self.attention_mask,
                increments.shape[-1],
                self.num_past_tokens,
                self.num_past_tokens > 0 if isinstance(self.clock, StaticClock) else past is not None,
                None if past is None else past[:, 2, 0, -1:],
                increments.device,
            )
        return self.base.on(increments.device)


def num_running(module: nn.Module) -> int:
    """How many calls of a module this thread is in, at least the one whose hook asks: found on the thread's stack."""
    number, frame = 0, cast(FrameType | None, sys._getframe())
    while frame is not None:
        number += frame.f_code is nn.Module._call_impl.__code__ and frame.f_locals["self"] is module
        frame = frame.f_back
    return max(1, number)


class Calls(threading.local):
    """The current thread's calls of a model.

    Attributes:
        passes: Forward passes that have begun but not ended, the innermost last.
        overrides: Functions that replace increments, the outermost first.
        recordings: The recorders that are told what each layer uses.
    """

    # `passes` is changed in place, within a forward pass: the compiler tracks that, but not an assignment.
    passes: list[ForwardPass]
    overrides: list[IncrementFunction]
    recordings: list[Recording]

    def __init__(self) -> None:
        self.passes, self.overrides, self.recordings = [], [], []

    @contextmanager
    def within(self, name: Literal["overrides", "recordings"], new: Any) -> Iterator[None]:
        """Add an item to one of the lists for a while."""
        outer = getattr(self, name)
        setattr(self, name, [*outer, new])
        try:
            yield
        finally:
            setattr(self, name, outer)

    def __reduce__(self) -> tuple[type[Calls], tuple[()]]:
        """A copy of a model is in no call, so it gets a new object."""
        return Calls, ()


def overridden(
    increments: Tensor, overrides: list[IncrementFunction], index: int, current: ForwardPass, sources: dict[int, int]
) -> Tensor:
    """A layer's increments after overrides; keys that layers share must stand at the same positions for all of them."""
    for function in overrides:
        increments = like(increments, function(index, increments.clone()), index)  # it may edit its argument
    if not overrides or not sources:
        return increments
    current.overridden[index] = increments
    source = sources.get(index)
    if source is None or increments.is_meta:
        return increments
    theirs = current.overridden.get(source)
    if theirs is None or not torch.equal(theirs.to(increments.device), increments):
        raise UnsupportedModelError(
            f"layer {index} of {type(current.decoder).__name__} attends to the keys of layer {source}, which stand at "
            "that layer's positions, and an override gives the two layers other increments; give both the same, or use "
            "a model whose layers have keys of their own"
        )
    return increments


def like(increments: Tensor, replacement: Any, index: int) -> Tensor:
    """An override's result in the shape and type of the increments that it replaces."""
    try:
        replacement = torch.as_tensor(replacement, dtype=torch.float32, device=increments.device)
        return replacement.expand_as(increments)
    except (RuntimeError, TypeError, ValueError) as error:
        got = f"shape {tuple(replacement.shape)}" if isinstance(replacement, Tensor) else type(replacement).__name__
        raise OverrideError(
            f"an override returned {got} for layer {index}; it must return increments [batch, head, token] = "
            f"{tuple(increments.shape)}, or a tensor that broadcasts to that shape"
        ) from error

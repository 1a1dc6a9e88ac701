"""What one thread knows of the calls that it is in, so that threads can share a model.

A model is one object for all threads; a forward pass, an override and a recording belong to the thread that began them.
They are kept in a `threading.local` rather than in a context variable, because `torch.compile` reads the former without
a graph break and looks at it again, in the calling thread, before it reuses a graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from howfar.positions.clock import Clock, StaticClock, clock_of
from howfar.positions.placement import Placement, place
from howfar.positions.places import Places

IncrementFunction = Callable[[int, Tensor], Any]
"""`fn(layer, increments)` gives increments, or what broadcasts to them; they are `[batch, head, token]`."""


@dataclass
class Recording:
    """What each layer used in the latest forward pass, by decoder layer; `[batch, head, token]`, in positions."""

    increments: dict[int, Tensor] = field(default_factory=dict)
    positions: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class ForwardPass:
    """What the layers of one forward pass have in common.

    Args:
        attention_mask: As the decoder was given it.
        position_ids: As the decoder was given them.
        num_past_tokens: Tokens in the cache before this pass.
        cache: The cache that the decoder was given, or has made.
        token_ids: As the decoder was given them; None if it was given their embeddings.
        clock: That cache's clock.
        placement: Where the base model puts the tokens.
        shared_increments: Before overrides; with a shared network.
        shared_places: With a shared network and no overrides: the positions of the first layer.
        frequencies: Of models that change them with the length of a text, by the prefix of their `Rotation`.
    """

    attention_mask: Any
    position_ids: Tensor | None
    num_past_tokens: int | Tensor
    cache: Any
    clock: Clock | None
    token_ids: Tensor | None = None
    placement: Placement | None = None
    shared_increments: Tensor | None = None
    shared_places: Places | None = None
    frequencies: dict[str, Tensor] = field(default_factory=dict)

    def clock_of(self, cache: Any) -> Clock | None:
        """The clock of the cache that a layer was given."""
        if cache is not self.cache:  # the decoder was given none and has made one
            self.cache, self.clock = cache, None if cache is None else clock_of(cache, is_new=True)
        return self.clock

    def placement_of(self, increments: Tensor, past: Tensor | None) -> Placement:
        """Where the base model puts the tokens, on the device of these increments."""
        if self.placement is None:
            self.placement = place(
                self.position_ids,
                self.attention_mask,
                increments.shape[-1],
                self.num_past_tokens,
                self.num_past_tokens > 0 if isinstance(self.clock, StaticClock) else past is not None,
                None if past is None else past[:, 2, 0, -1:],
                increments.device,
            )
        return self.placement.on(increments.device)


class Calls(threading.local):
    """The calls of a model that the current thread is in.

    Attributes:
        passes: Forward passes that have begun and not ended, the innermost last.
        overrides: Functions that replace increments, the outermost first.
        recordings: Who is told what each layer uses.
    """

    # One list for a thread, changed in place: the compiler keeps track of that, but not of objects that are assigned.
    passes: list[ForwardPass]
    overrides: list[IncrementFunction]
    recordings: list[Recording]

    def __init__(self) -> None:
        self.passes, self.overrides, self.recordings = [], [], []

    @contextmanager
    def within(self, name: Literal["overrides", "recordings"], new: Any) -> Iterator[None]:
        """Add to one of the lists for a while."""
        outer = getattr(self, name)
        setattr(self, name, [*outer, new])
        try:
            yield
        finally:
            setattr(self, name, outer)

    def __reduce__(self) -> tuple[type[Calls], tuple[()]]:
        """A copy of a model is in no call."""
        return Calls, ()

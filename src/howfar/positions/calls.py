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

IncrementFunction = Callable[[int, Tensor], Any]
"""`fn(layer, increments)` gives increments, or what broadcasts to them; they are `[batch, head, token]`."""


@dataclass
class Recording:
    """What each layer used in the latest forward pass, by decoder layer; `[batch, head, token]`, in positions."""

    increments: dict[int, Tensor] = field(default_factory=dict)
    positions: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class ForwardPass:
    """What the layers of one forward pass have in common."""

    attention_mask: Any = None
    num_past_tokens: int | Tensor = 0
    shared_increments: Tensor | None = None
    rotations: dict[Any, tuple[Tensor, Tensor]] = field(default_factory=dict)


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

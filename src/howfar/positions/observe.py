"""Watch a model's increments, or replace them, for as long as a `with` block lasts, in the thread that entered it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from howfar.positions.attachment import increments_of
from howfar.positions.calls import IncrementFunction, Recording


@contextmanager
def record(model: nn.Module) -> Iterator[Recording]:
    """Keep what each layer uses.

    Args:
        model: A model with increments.

    Yields:
        A `Recording` that holds, after each forward pass, that pass's increments and positions by layer. They are part
        of the autograd graph unless gradients are off.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    increments, recording = increments_of(model), Recording()
    with increments.recorded_by(recording):
        yield recording


@contextmanager
def override(model: nn.Module, fn: IncrementFunction) -> Iterator[None]:
    """Replace a model's increments: what interventions are built on.

    Overrides nest; inner ones see what outer ones return. With shared increments each layer can still be given
    positions of its own. Padding keeps an increment of 0. While decoding with a cache, `fn` sees the new tokens only.

    Args:
        model: A model with increments.
        fn: `fn(layer, increments)` returns the increments to use instead; `[batch, head, token]`, in positions, or
            anything that broadcasts to it.

    Raises:
        NoIncrementsError: The model has no increments.
        OverrideError: In a forward pass, if what `fn` returns does not broadcast to the increments.
    """
    with increments_of(model).overridden_by(fn):
        yield

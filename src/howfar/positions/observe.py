"""Record a model's increments, or replace them, inside a `with` block, in the thread that entered it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from howfar.positions.attachment import attach_encoding, increments_of, positions_of, take_away
from howfar.positions.calls import IncrementFunction, Recording
from howfar.positions.encodings import PLAIN
from howfar.positions.increments import Increments

_lock = threading.Lock()


@contextmanager
def record(model: nn.Module) -> Iterator[Recording]:
    """Record what each layer uses.

    Args:
        model: A model with increments.

    Yields:
        A `Recording`: after each forward pass it holds that pass's increments and positions by layer. They are part
        of the autograd graph unless gradients are disabled.

    Raises:
        NoIncrementsError: The model has no increments, and is not inside `movable`.
    """
    increments, recording = positions_of(model) or increments_of(model), Recording()
    with increments.recorded_by(recording):
        yield recording


@contextmanager
def override(model: nn.Module, fn: IncrementFunction) -> Iterator[None]:
    """Replace a model's increments; interventions are built on this.

    Overrides nest; inner ones receive what outer ones return. With shared increments each layer can still be given
    positions of its own, unless it attends to another layer's keys (Gemma 3n, Gemma 4 E): both then need the same
    increments. Padding keeps an increment of 0. While decoding with a cache, `fn` sees the new tokens only.

    `fn` sees the tokens that the model is given. Under `howfar.trace` these are windows: token 0 is the document mark,
    and a long text is read in several windows.

    Args:
        model: A model with increments.
        fn: `fn(layer, increments)` returns the increments to use instead; `[batch, head, token]`, in positions, or
            anything that broadcasts to it. It may edit its argument, which is a copy, and return that.

    Raises:
        NoIncrementsError: The model has no increments, and is not inside `movable`.
        OverrideError: In a forward pass, if what `fn` returns does not broadcast to the increments.
        UnsupportedModelError: In a forward pass, if layers that share keys get other increments than each other.
    """
    with (positions_of(model) or increments_of(model)).overridden_by(fn):
        yield


@contextmanager
def movable(model: nn.Module) -> Iterator[Increments]:
    """Let the positions of any rotary model be overridden and recorded inside a block.

    In the block a plain model advances by increments of 1, which change no bit of its output. If several threads hold
    the model, it becomes plain again after the last of them; it must not run in a thread that does not hold it.

    Args:
        model: A model with increments, or a plain one.

    Raises:
        UnsupportedModelError: The model has no rotary positions.
    """
    with _lock:
        positions = positions_of(model) or attach_encoding(model, None, PLAIN)
        positions.num_holders += 1
    try:
        yield positions
    finally:
        with _lock:
            positions.num_holders -= 1
            if positions.is_plain and positions.encoding.name == "rotary" and not positions.num_holders:
                take_away(positions)

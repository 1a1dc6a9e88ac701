"""The layers of a model in tables, and a check of its increments, for several measures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from howfar.errors import ConfigError, NotMeasurableError
from howfar.positions import Increments
from howfar.positions.bounds import bound_of


def layer_names(increments: Increments) -> Sequence[int | None]:
    """The layers that have learned positions, by index; a single None if all layers share their increments."""
    return (None,) if increments.config.scope == "shared" else increments.layer_indices


def chosen_layers(increments: Increments, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers to change one at a time, each once: those that are named, or all that have rotary positions.

    Raises:
        ConfigError: One of them has no rotary positions, or none is named.
    """
    if layers is None:
        return increments.layer_indices
    known = ", ".join(map(str, increments.layer_indices))
    if not layers:
        raise ConfigError(f"no layer is named; choose from {known}")
    if unknown := set(layers) - set(increments.layer_indices):
        raise ConfigError(f"layer {min(unknown)} has no rotary positions to change; choose from {known}")
    return tuple(dict.fromkeys(layers))


def check_movable_alone(increments: Increments) -> None:
    """Check that each layer attends to its own keys, so that its positions can be moved alone.

    Raises:
        NotMeasurableError: A layer attends to the keys of another.
    """
    for layer, source in increments.key_sources.items():
        raise NotMeasurableError(
            f"layer {layer} of {type(increments.decoder).__name__} attends to the keys of layer {source}, which stand "
            "at that layer's positions, so the layers cannot be moved one at a time; use a model whose layers have "
            "keys of their own"
        )


def limits_of(increments: Increments, lowest: float, highest: float) -> tuple[float, float]:
    """The smallest and the largest possible mean of increments, by their bound.

    An enclosing `override` can set increments beyond the bound; then there are no limits.

    Args:
        increments: A model's.
        lowest: The smallest increment found, in positions.
        highest: The largest.
    """
    low, high = bound_of(increments.config).limits
    return (low, high) if low <= lowest and highest <= high else (-math.inf, math.inf)


def check_accumulates(increments: Increments) -> None:
    """Check that increments are steps, which are summed to positions.

    Raises:
        NotMeasurableError: The increments are positions themselves.
    """
    if not increments.config.accumulate:
        raise NotMeasurableError(
            "this model's increments are positions themselves (accumulate=False), and no steps; use a model that sums "
            "its increments"
        )

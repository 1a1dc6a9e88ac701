"""How tables of measures name the layers of a model."""

from __future__ import annotations

from collections.abc import Sequence

from howfar.positions import Increments


def layer_names(increments: Increments) -> Sequence[int | None]:
    """The layers that have learned positions, by index; a single None if all layers share their increments."""
    return (None,) if increments.config.scope == "shared" else increments.layer_indices

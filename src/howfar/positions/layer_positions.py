"""The positions of a layer's tokens in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from howfar.positions.shapes import Float, Length


@dataclass
class LayerPositions:
    """The positions of a layer's tokens.

    Args:
        increments: Increments of the new tokens, in positions; 0 for padding.
        positions: Positions of the new tokens.
        all_positions: Positions of the latest tokens that a cache may hold, the new ones last.
        num_tokens: Tokens so far, the cache's included.
        sums: What an encoding sums over the latest tokens besides increments, the new ones last; None if nothing.
        past: The layer's history before this pass; it identifies layers at the same positions.
        frequencies: Those of this pass, by the prefix of their `Rotation`, if they vary.
        rotated: Cosines and sines, by the prefix of their `Rotation`.
    """

    increments: Float[Tensor, "batch head token"]
    positions: Float[Tensor, "batch head token"]
    all_positions: Float[Tensor, "batch head latest_token"]
    num_tokens: Length | Tensor
    sums: Float[Tensor, "batch row latest_token"] | None = None
    past: Tensor | None = None
    frequencies: dict[str, Tensor] = field(default_factory=dict)
    rotated: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)

"""The positions of a layer's tokens in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from howfar.positions.shapes import Float, Length


@dataclass
class Places:
    """Where the tokens of a layer stand.

    Args:
        increments: Of the new tokens, in positions; 0 for padding.
        positions: Of the new tokens.
        all_positions: Of the latest tokens that a cache may hold, the new ones last.
        num_tokens: Tokens so far, the cache's included.
        sums: What an encoding sums over the latest tokens beside increments, the new ones last; None if nothing.
        past: The layer's history before this pass, by which layers at the same positions know each other.
        frequencies: Of this pass, by the prefix of their `Rotation`, where they vary.
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

"""Increments that are looked up by token, not learned."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from howfar.errors import ConfigError
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.sets import Sets
from howfar.positions.precision import KeepsFloat32
from howfar.positions.shapes import Float, Int


class Table(KeepsFloat32):
    """An increment for each token and set, in positions; never trained.

    Args:
        values: `[token, set]`.
    """

    def __init__(self, values: Float[Tensor, "vocabulary set"]) -> None:
        super().__init__()
        self.values: Tensor
        self.register_buffer("values", values)

    def forward(self, token_ids: Int[Tensor, "batch token"]) -> Float[Tensor, "batch set token"]:
        """Look up increments."""
        return self.values[token_ids].transpose(1, 2)


class LookedUp(Sets):
    """Increments by token, instead of learned ones."""

    @classmethod
    def check_increments(cls, options: Any, increments: IncrementConfig | None) -> None:
        """Refuse any increments."""
        if increments is not None:
            raise ConfigError(f"encoding: {cls.name!r} gives increments itself; remove [increments]")

"""Several independent sets of positions in each head; each rotates its own frequencies.

Frequencies alternate between the sets, so that each set has slow ones and fast ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from howfar.errors import ConfigError
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.rotary import Rotary
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.rotation import Rotation
from howfar.positions.shapes import Float


class Sets(Rotary):
    """Rotates frequency c by set c modulo the number of sets."""

    @classmethod
    def check_increments(cls, options: Any, increments: IncrementConfig | None) -> None:
        """Refuse positions per head."""
        super().check_increments(options, increments)
        if increments is not None and increments.per_head:
            raise ConfigError(f"encoding: {cls.name!r} has sets of positions of its own; set per_head to false")

    def rotate(
        self,
        positions: Float[Tensor, "batch set token"],
        dtype: torch.dtype,
        rotation: Rotation,
        learned: LayerPositions,
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each frequency with the positions of its set."""
        frequencies = learned.frequencies.get(rotation.prefix)
        turns = torch.arange(len(rotation.frequencies), device=positions.device) % self.num_sets
        return rotation.of_frequencies(positions.mT.index_select(-1, turns)[:, None], dtype, frequencies)

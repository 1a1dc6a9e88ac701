"""No positions at all: the causal mask alone gives order.

Source:
    A. Kazemnejad et al., "The Impact of Positional Encoding on Length Generalization in Transformers", 2023.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from howfar.errors import ConfigError
from howfar.positions.arguments import LayerCall
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.attending import rotate_by_nothing
from howfar.positions.encodings.encoding import Encoding
from howfar.positions.layer_positions import LayerPositions


class NoPositions(Encoding):
    """Rotates nothing."""

    name = "nope"

    @classmethod
    def check_increments(cls, options: Any, increments: IncrementConfig | None) -> None:
        """Refuse any increments."""
        if increments is not None:
            raise ConfigError("encoding: 'nope' has no positions that increments could move; remove one of the two")

    def reach(
        self, index: int, layer: nn.Module, call: LayerCall, learned: LayerPositions
    ) -> tuple[tuple[Any, ...], Any]:
        """Give the layer cosines of 1 and sines of 0."""
        rotate_by_nothing(call)
        return call.arguments

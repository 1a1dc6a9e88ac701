"""Rotary positions, the same for all heads of a layer: the layer gets other cosines and sines.

Source:
    J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from howfar.positions.arguments import LayerCall
from howfar.positions.encodings.encoding import Encoding, led
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.rotation import Rotation
from howfar.positions.shapes import Float


class Rotary(Encoding):
    """Rotates queries and keys by positions."""

    name = "rotary"

    def reach(
        self, index: int, layer: nn.Module, call: LayerCall, learned: LayerPositions
    ) -> tuple[tuple[Any, ...], Any]:
        """Replace the layer's `position_embeddings`."""
        cos, sin = self.cosines_and_sines(index, layer, call, learned)
        call.set("position_embeddings", (cos.squeeze(1), sin.squeeze(1)))
        return call.arguments

    def cosines_and_sines(
        self, index: int, layer: nn.Module, call: LayerCall, learned: LayerPositions
    ) -> tuple[Tensor, ...]:
        """Cosines and sines of the new tokens, `[batch, head, token, rotary]`; equal layers share them."""
        rotation = self.rotations[index]
        found = learned.rotated.get(rotation.prefix)
        if found is None:
            dtype = call.get("position_embeddings")[0].dtype
            found = led(layer, call, *self.rotate(learned.positions, dtype, rotation, learned))
            learned.rotated[rotation.prefix] = found
        return found

    def rotate(
        self,
        positions: Float[Tensor, "batch head token"],
        dtype: torch.dtype,
        rotation: Rotation,
        learned: LayerPositions,
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines of positions; `learned` has the frequencies of this pass if they vary."""
        return rotation(positions, dtype, learned.frequencies.get(rotation.prefix))

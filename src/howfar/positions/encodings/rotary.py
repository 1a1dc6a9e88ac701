"""Rotary positions, the same for all heads of a layer: the layer is handed other cosines and sines."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from howfar.positions.arguments import LayerCall
from howfar.positions.checkpointing import is_reentrant, lead_gradients_through
from howfar.positions.places import Places
from howfar.positions.rotation import Rotation


class Rotary:
    """Rotates queries and keys by learned positions.

    Args:
        rotations: How each layer rotates, by its index.
    """

    def __init__(self, rotations: dict[int, Rotation]) -> None:
        self.rotations = rotations

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Nothing is to be done."""

    def restore(self, decoder: PreTrainedModel) -> None:
        """Nothing was done."""

    def check(self, decoder: PreTrainedModel) -> None:
        """Nothing can go wrong."""

    def reach(self, index: int, layer: nn.Module, call: LayerCall, places: Places) -> tuple[tuple[Any, ...], Any]:
        """Replace the layer's `position_embeddings`."""
        cos, sin = self.cosines_and_sines(index, layer, call, places)
        call.set("position_embeddings", (cos.squeeze(1), sin.squeeze(1)))
        return call.arguments

    def cosines_and_sines(self, index: int, layer: nn.Module, call: LayerCall, places: Places) -> tuple[Tensor, Tensor]:
        """Of the new tokens, `[batch, head, token, rotary]`; layers at the same positions share them."""
        rotation = self.rotations[index]
        found = places.rotated.get(rotation.prefix)
        if found is None:
            dtype = call.get("position_embeddings")[0].dtype
            found = rotation(places.positions, dtype, places.frequencies.get(rotation.prefix))
            if is_reentrant(layer):
                hidden_states, found = lead_gradients_through(call.hidden_states(), found)
                call.set(call.names[0], hidden_states)
            places.rotated[rotation.prefix] = found
        return found

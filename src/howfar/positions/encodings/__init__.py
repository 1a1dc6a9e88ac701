"""How positions reach attention: a file for each way.

An encoding is handed, before each decoder layer runs, that layer's positions and the arguments that it is about to be
called with; it returns the arguments that make the layer attend by those positions.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn
from transformers import PreTrainedModel

from howfar.positions.arguments import LayerCall
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.per_head import RotaryPerHead
from howfar.positions.encodings.rotary import Rotary
from howfar.positions.places import Places
from howfar.positions.rotation import Rotation


class Encoding(Protocol):
    """One way for positions to reach attention."""

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Make a decoder ready, once, when increments are attached."""

    def restore(self, decoder: PreTrainedModel) -> None:
        """Undo `prepare`."""

    def check(self, decoder: PreTrainedModel) -> None:
        """Before each forward pass: make sure that the decoder is still as `prepare` left it."""

    def reach(self, index: int, layer: nn.Module, call: LayerCall, places: Places) -> tuple[tuple[Any, ...], Any]:
        """The arguments, by place and by name, that let layer `index` attend by these positions."""


def encoding_of(config: IncrementConfig, rotations: dict[int, Rotation]) -> Encoding:
    """The encoding that a configuration names."""
    return RotaryPerHead(rotations) if config.per_head else Rotary(rotations)

"""ALiBi: a score falls with distance, each head with its own slope.

Source:
    O. Press, N. A. Smith, M. Lewis, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
    Extrapolation", 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from howfar.positions.encodings.attending import config_of
from howfar.positions.encodings.biased import Biased, BiasOptions
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.precision import KeepsFloat32
from howfar.positions.shapes import Float


@dataclass(frozen=True)
class AlibiOptions(BiasOptions):
    """Options of ALiBi.

    Args:
        learned: Whether each layer learns its slopes, starting from the paper's.
    """

    learned: bool = False


class Alibi(Biased):
    """Lowers a key's score by its distance in positions; the positions are learned where there are increments."""

    name = "alibi"
    Options = AlibiOptions

    def layer_module(self, decoder: Any) -> nn.Module | None:
        """Learned slopes."""
        return Slopes(decoder.config.num_attention_heads) if self.options.learned else None

    def coefficients_and_values(self, layer: nn.Module, learned: LayerPositions) -> tuple[Tensor, Tensor]:
        """Slopes, and positions."""
        if self.options.learned:
            return layer.get_submodule("encoding")(), learned.all_positions
        num_heads = config_of(layer).num_attention_heads
        return torch.tensor(slopes(num_heads), device=learned.all_positions.device), learned.all_positions


class Slopes(KeepsFloat32):
    """A slope for each head."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.slope_bias = nn.Parameter(torch.tensor(slopes(num_heads)))  # a bias by name: no weight decay

    def forward(self) -> Float[Tensor, " head"]:
        """The slopes; a call, so that Accelerate's hooks bring them if they are elsewhere."""
        return self.slope_bias


def slopes(num_heads: int) -> list[float]:
    """The paper's slopes: a geometric sequence that starts at 2^(-8/n).

    If n is not a power of 2: the slopes of the next lower power, then every other slope of the next higher one.
    """
    power = 2 ** math.floor(math.log2(num_heads))
    found = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    return found + [2 ** (-4 * (head + 1) / power) for head in range(0, 2 * (num_heads - power), 2)]

"""Random accumulated rotations: order is known, distance is noise.

Each token rotates each frequency of a head by an angle drawn once at random; angles add up along the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from howfar.positions.encodings.encoding import NoOptions
from howfar.positions.encodings.table import LookedUp, Table


@dataclass(frozen=True)
class RandomOptions(NoOptions):
    """Options of random increments.

    Args:
        spread: Increments are uniform in 1 - `spread` to 1 + `spread`.
        seed: Random seed of the draw.
        by_frequency: Whether each frequency of a head has its own increments, or all share the same.
    """

    spread: float = 0.5
    seed: int = 0
    by_frequency: bool = True


class Random(LookedUp):
    """Increments drawn at random for each token."""

    name = "random"
    Options = RandomOptions

    def __init__(self, increments: Any, options: RandomOptions, rotations: Any) -> None:
        super().__init__(increments, options, rotations)
        if options.by_frequency:
            self.num_sets = min(len(rotation.frequencies) for rotation in rotations.values())

    def token_increments(self, decoder: Any) -> nn.Module:
        """The table."""
        generator = torch.Generator().manual_seed(self.options.seed)
        draws = torch.rand(decoder.config.vocab_size, self.num_sets, generator=generator, device="cpu")
        return Table((1 + self.options.spread * (2 * draws - 1)).to(decoder.device))

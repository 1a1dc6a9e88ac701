"""Frozen increments: those that a trained model has for each token, which nothing learns any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from howfar.errors import ConfigError
from howfar.positions.encodings.encoding import NoOptions
from howfar.positions.encodings.table import LookedUp, Table


@dataclass(frozen=True)
class FrozenOptions(NoOptions):
    """Options of frozen increments.

    Args:
        table: The model whose increments are taken, of scope "shared": what they are depends on the token alone.
    """

    table: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.table:
            raise ConfigError(
                "encoding: 'frozen' needs the increments of a trained model; name one with shared increments, "
                'table = "runs/small-shared"'
            )


class Frozen(LookedUp):
    """The increments that a trained model has for each token. They are put into the table when training begins."""

    name = "frozen"
    Options = FrozenOptions

    def token_increments(self, decoder: Any) -> nn.Module:
        """A table of ones, still to be filled."""
        return Table(torch.ones(decoder.config.vocab_size, 1))

"""Frozen increments: copied per token from a trained model, and not trained further."""

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
        table: The model to copy from; its scope must be "shared", so that an increment depends on the token alone.
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
    """The increments of a trained model, by token. Training fills the table when it begins."""

    name = "frozen"
    Options = FrozenOptions

    def token_increments(self, decoder: Any) -> nn.Module:
        """A table of ones, to be filled later."""
        return Table(torch.ones(decoder.config.vocab_size, 1))

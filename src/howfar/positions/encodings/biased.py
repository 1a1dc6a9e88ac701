"""What ALiBi and the forget gate share: what lies between query and key lowers the score.

The bias of a query at i and a key at j is `coefficient * (value_j - value_i)`. Softmax ignores what is the same
for all keys of a query, so `coefficient * value_j` is enough: the product of one extra column of the query and one of
the key. So no matrix of biases is made, and PyTorch's fused attention, which has no gradients for one, can be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from howfar.errors import ConfigError
from howfar.positions.arguments import LayerCall
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.attending import Attending, Step, of_keys, rotate_by_nothing
from howfar.positions.encodings.encoding import NoOptions, led
from howfar.positions.encodings.rotary import Rotary
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.shapes import Length


@dataclass(frozen=True)
class BiasOptions(NoOptions):
    """Options of encodings that add a bias.

    Args:
        rotary: Whether queries and keys are rotated by position as well.
    """

    rotary: bool = False


class Biased(Attending, Rotary):
    """An encoding that lowers scores, with rotary positions or without."""

    Options = BiasOptions

    @classmethod
    def check_increments(cls, options: BiasOptions, increments: IncrementConfig | None) -> None:
        """Refuse to rotate each head by its own positions."""
        if options.rotary and increments is not None and increments.per_head:
            raise ConfigError(
                f"encoding: {cls.name!r} with rotary = true rotates all heads alike, and increments are per head; set "
                "rotary or per_head to false"
            )

    def coefficients_and_values(self, layer: nn.Module, learned: LayerPositions) -> tuple[Tensor, Tensor]:
        """The coefficients of query heads, `[head]`, and the values of latest keys, `[batch, head, latest_token]`."""
        raise NotImplementedError

    def before_attention(self, layer: nn.Module, call: LayerCall, learned: LayerPositions, index: int) -> Step:
        """Pass the columns on."""
        coefficients, values = self.coefficients_and_values(layer, learned)
        # Counted from the newest token, so that nearby tokens, which weigh most, get the most precision.
        values = (values - values[..., -1:].detach()).float()
        coefficients, values = led(layer, call, coefficients.float(), values)
        return partial(_add_columns, coefficients, values, learned.num_tokens)

    def reach(
        self, index: int, layer: nn.Module, call: LayerCall, learned: LayerPositions
    ) -> tuple[tuple[Any, ...], Any]:
        """Let the layer rotate as usual, and pass the columns to the attention function."""
        call.set("before_attention", self.before_attention(layer, call, learned, index))
        if self.options.rotary:
            return Rotary.reach(self, index, layer, call, learned)
        rotate_by_nothing(call)
        return call.arguments


def _add_columns(
    coefficients: Tensor, values: Tensor, num_tokens: Length | Tensor, query: Tensor, key: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """A step before attention: one extra column for queries and keys, or several where one is not precise enough."""
    values = of_keys(values, key.shape[-2], num_tokens, -1)
    values = values.repeat_interleave(key.shape[1] // values.shape[1], dim=1)
    of_query, of_key = _products(coefficients / scaling, values, query.dtype)
    num_columns = len(of_query)
    batch, heads, length, _ = query.shape
    queries = of_query.to(query.dtype).T[None, :, None].expand(batch, heads, length, num_columns)
    keys = of_key.to(key.dtype).movedim(0, -1).expand(batch, *key.shape[1:3], num_columns)
    return torch.cat((query, queries), dim=-1), torch.cat((key, keys), dim=-1)


def _products(coefficients: Tensor, values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Stacked factors in a low-precision type whose products sum to coefficient times value at a higher precision."""
    if dtype.itemsize >= coefficients.dtype.itemsize:
        return coefficients[None], values[None]
    parts = [(one, other) for one in range(3) for other in range(3 - one)]
    first, second = _split(coefficients, dtype), _split(values, dtype)
    return torch.stack([first[one] for one, _ in parts]), torch.stack([second[other] for _, other in parts])


def _split(number: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Split a number into three numbers of a less precise type that sum to it."""
    pieces = []
    for _ in range(3):
        piece = number.to(dtype).to(number.dtype)
        pieces.append(piece)
        number = number - piece
    return pieces

"""Modules that stay in float32 when their model changes its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from torch import Tensor, nn


class KeepsFloat32(nn.Module):
    """A module that `model.half()` or `model.to(torch.bfloat16)` moves, but does not round.

    Positions are sums over a whole text, and bfloat16 cannot tell neighbouring integers above 256 apart.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def move_only(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move_only, recurse)

"""The network that predicts increments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from howfar.positions.bounds import bound_of
from howfar.positions.config import IncrementConfig
from howfar.positions.precision import KeepsFloat32
from howfar.positions.shapes import Float


class IncrementNetwork(KeepsFloat32):
    """[RMSNorm] -> Linear -> GELU -> Linear -> bound, one increment per token and head.

    Zero weights in the last layer mean increments of exactly 1, on any device. All parameters and arithmetic are
    float32 whatever the model's own type, because bfloat16 cannot tell neighbouring integers above 256 apart.

    Args:
        input_size: Width of its input vectors.
        num_heads: Increments per token.
        config: Range and start of the increments.
        normalise: Whether the input is normalised first (residual streams grow from layer to layer).
        device: Device of the parameters.
        init_std: Standard deviation of the random weights.
    """

    def __init__(
        self,
        input_size: int,
        num_heads: int,
        config: IncrementConfig,
        *,
        normalise: bool,
        device: torch.device | None = None,
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        hidden_size = config.hidden_size or max(1, input_size // 4)
        placement: dict[str, Any] = {"device": device, "dtype": torch.float32}
        self.bound, self.start = bound_of(config), config.start
        self.init_std = init_std
        self.norm = nn.RMSNorm(input_size, eps=1e-6, **placement) if normalise else nn.Identity()
        self.hidden = nn.Linear(input_size, hidden_size, **placement)
        self.output = nn.Linear(hidden_size, num_heads, **placement)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights again: normal, zero biases, and a zero last layer for `start="identity"`."""
        if isinstance(self.norm, nn.RMSNorm):
            nn.init.ones_(self.norm.weight)
        nn.init.normal_(self.hidden.weight, std=self.init_std)
        nn.init.zeros_(self.hidden.bias)
        if self.start == "identity":
            nn.init.zeros_(self.output.weight)
        else:
            nn.init.normal_(self.output.weight, std=self.init_std)
        nn.init.zeros_(self.output.bias)

    def forward(self, hidden_states: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch head token"]:
        """Predict the increments of each token, in positions."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            logits = self.output(F.gelu(self.hidden(self.norm(hidden_states.float()))))
            # Stacked, not transposed: a bound's gradient arrives in the layout that compilers expect.
            return torch.stack(self.bound(logits).unbind(-1), dim=1)

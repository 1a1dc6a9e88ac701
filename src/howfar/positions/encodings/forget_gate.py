"""A forget gate in softmax attention: at each token, each head may forget some of what came before.

The score of a key falls by the sum of `-log(gate)` over the tokens after it, up to the query: data set the distance.

Source:
    Z. Lin et al., "Forgetting Transformer: Softmax Attention with a Forget Gate", 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from howfar.errors import ConfigError
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.attending import config_of
from howfar.positions.encodings.biased import Biased, BiasOptions
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.precision import KeepsFloat32
from howfar.positions.shapes import Float


class ForgetGate(Biased):
    """Lowers a key's score by what has been forgotten since."""

    name = "forget_gate"

    @classmethod
    def check_increments(cls, options: BiasOptions, increments: IncrementConfig | None) -> None:
        """Refuse increments where nothing rotates."""
        if increments is not None and not options.rotary:
            raise ConfigError(
                "encoding: 'forget_gate' without rotary positions reads no positions that increments could move; set "
                "rotary = true, or remove [increments]"
            )
        super().check_increments(options, increments)

    def layer_module(self, decoder: Any) -> nn.Module:
        """The gates."""
        config = decoder.config
        return Gates(config.hidden_size, config.num_key_value_heads, config.rms_norm_eps)

    def sums(self, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        """The logarithms of the gates."""
        return layer.get_submodule("encoding")

    def coefficients_and_values(self, layer: nn.Module, learned: LayerPositions) -> tuple[Tensor, Tensor]:
        """Minus the sum: forgetting that happened up to a key does not lower that key's score."""
        num_heads = config_of(layer).num_attention_heads
        assert learned.sums is not None
        return learned.sums.new_full((num_heads,), -1.0), learned.sums


class Gates(KeepsFloat32):
    """RMSNorm -> Linear -> log sigmoid: one gate per key-value head, shared by its query heads.

    The norm has no weights of its own: the linear layer has them.
    """

    def __init__(self, input_size: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gate = nn.Linear(input_size, num_heads)

    def forward(self, hidden_states: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch head token"]:
        """Logarithms of the gates."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            normed = F.rms_norm(hidden_states.float(), hidden_states.shape[-1:], eps=self.eps)
            return F.logsigmoid(self.gate(normed)).transpose(1, 2)

"""PoPE: magnitudes say what, phases say where.

Each of the d numbers of a query or key becomes the magnitude of a complex number, by softplus; its phase is position
times frequency, for d frequencies, plus a learned bias for keys. A score is the sum over c of
`softplus(q_c) * softplus(k_c) * cos((s - t) * frequency_c + bias_c)`. With increments this is the selective form: the
positions s and t are learned ones.

Source:
    A. Gopalakrishnan, R. Csordás, J. Schmidhuber, M. C. Mozer, "Decoupling the 'What' and 'Where' With Polar Coordinate
    Positional Embeddings", 2025. Biases are clamped to [-2 pi, 0] and start at 0, its choice for extrapolation.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from howfar.positions.arguments import LayerCall
from howfar.positions.encodings.attending import Attending, Step, config_of, of_keys
from howfar.positions.encodings.encoding import led
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.precision import KeepsFloat32
from howfar.positions.shapes import Float, Length


class Polar(Attending):
    """Phases from positions alone."""

    name = "pope"

    def layer_module(self, decoder: Any) -> nn.Module:
        """The biases of the phases."""
        return Phases(decoder.config.num_key_value_heads, decoder.config.head_dim)

    def before_attention(self, layer: nn.Module, call: LayerCall, learned: LayerPositions, index: int) -> Step:
        """From numbers to polar coordinates, and from these to two Cartesian ones."""
        if self.name not in learned.rotated:
            learned.rotated[self.name] = (_phases(learned.all_positions, config_of(layer)),)
        (angle,) = learned.rotated[self.name]
        bias = layer.get_submodule("encoding")().to(angle.device)
        of_queries = angle.narrow(2, angle.shape[2] - learned.positions.shape[2], learned.positions.shape[2])
        of_queries, of_keys = led(layer, call, of_queries, angle + bias[:, None])
        return partial(_to_polar, of_queries, of_keys, learned.num_tokens)


class Phases(KeepsFloat32):
    """A bias of the phase for each key-value head and frequency, in radians."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.phase_bias = nn.Parameter(torch.zeros(num_heads, head_dim))

    def forward(self) -> Float[Tensor, "head frequency"]:
        """The biases, clamped; a call, so that Accelerate's hooks bring them if they are elsewhere."""
        bias = self.phase_bias
        # Biases begin at the bound, where `clamp` has no gradient since PyTorch 2.14.
        return torch.where((bias < -2 * math.pi) | (bias > 0), bias.detach().clamp(-2 * math.pi, 0), bias)


def _phases(positions: Float[Tensor, "batch head token"], config: Any) -> Float[Tensor, "batch head token frequency"]:
    """Position times frequency, `theta^(-c/d)` for c = 0, ..., d - 1: twice as many as RoPE has."""
    exponents = torch.arange(config.head_dim, device=positions.device) / config.head_dim
    return positions.float()[..., None] * config.rope_parameters["rope_theta"] ** -exponents


def _to_polar(
    of_queries: Tensor, keys: Tensor, num_tokens: Length | Tensor, query: Tensor, key: Tensor, scaling: float
) -> tuple[Tensor, Tensor]:
    """A step before attention."""
    return _cartesian(query, of_queries), _cartesian(key, of_keys(keys, key.shape[-2], num_tokens, -2))


def _cartesian(
    states: Float[Tensor, "batch head token width"], phases: Tensor
) -> Float[Tensor, "batch head token twice"]:
    """Real and imaginary parts; as many heads as share a phase."""
    phases = phases.repeat_interleave(states.shape[1] // phases.shape[1], dim=1)
    magnitudes = F.softplus(states.float())
    return torch.cat((magnitudes * phases.cos(), magnitudes * phases.sin()), dim=-1).to(states.dtype)

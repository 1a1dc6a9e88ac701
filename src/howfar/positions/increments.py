"""The learned positions of one model: predicted, summed, and handed to its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.cache_utils import Cache

from howfar.positions.clock import clock_of, running_sum
from howfar.positions.config import IncrementConfig
from howfar.positions.padding import real_tokens
from howfar.positions.rotation import Rotation
from howfar.positions.shapes import Float

IncrementFunction = Callable[[int, Tensor], Tensor]
"""`fn(layer, increments)` gives increments; both are `[batch, head, token]`."""


@dataclass
class Recording:
    """What each layer used in the latest forward pass, by decoder layer; `[batch, head, token]`, in positions."""

    increments: dict[int, Tensor] = field(default_factory=dict)
    positions: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class _Pass:
    """What the layers of one forward pass have in common."""

    attention_mask: Any = None
    num_past_tokens: int | Tensor = 0
    increments: Tensor | None = None
    rotations: dict[Any, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Increments:
    """The learned positions of one model; made by `attach`, found again by `increments_of`.

    It owns no parameters: the networks are submodules of the model, all named `increments`. It is a plain object rather
    than a module, so that the model keeps the structure that Transformers, PEFT and FSDP expect.

    Args:
        config: The kind of increments.
        decoder: The module that runs the decoder layers.
        layers: The decoder layers.
        rotations: How each layer rotates, by its index; layers without rotary positions are absent.
    """

    def __init__(
        self, config: IncrementConfig, decoder: nn.Module, layers: nn.ModuleList, rotations: dict[int, Rotation]
    ) -> None:
        self.config = config
        self.decoder = decoder
        self.layers = layers
        self.rotations = rotations
        self.overrides: list[IncrementFunction] = []
        self.recordings: list[Recording] = []
        self.hooks: list[RemovableHandle] = []
        self._pass = _Pass()

    @property
    def layer_indices(self) -> tuple[int, ...]:
        """Decoder layers that have learned positions."""
        return tuple(self.rotations)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks: one if shared, else one for each of `layer_indices`."""
        if self.config.scope == "shared":
            return (self.decoder.get_submodule("increments"),)
        return tuple(self.layers[index].get_submodule("increments") for index in self.layer_indices)

    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the networks."""
        return [parameter for network in self.networks for parameter in network.parameters()]

    def begin_pass(self, attention_mask: Any, cache: Cache | None) -> None:
        """Note what the layers of a new forward pass need to know."""
        self._pass = _Pass(attention_mask, 0 if cache is None else cache.get_seq_length())

    def end_pass(self) -> None:
        """Let go of the pass's tensors."""
        self._pass = _Pass()

    def layer_arguments(
        self, index: int, hidden_states: Float[Tensor, "batch token width"], cache: Cache | None, dtype: torch.dtype
    ) -> dict[str, Any]:
        """The keyword arguments that move a decoder layer to its learned positions.

        Args:
            index: The decoder layer.
            hidden_states: The residual stream entering it.
            cache: The key-value cache of the pass.
            dtype: Type of the cosines and sines that the layer expects.
        """
        increments = self._increments(index, hidden_states)
        positions, all_positions = self._positions(index, increments, cache)
        for recording in self.recordings:
            recording.increments[index], recording.positions[index] = increments, positions
        # Layers at the same positions share their cosines.
        shared = self.config.scope == "shared" and not self.overrides
        key = self.rotations[index].prefix if shared else index
        if key not in self._pass.rotations:
            self._pass.rotations[key] = self.rotations[index](positions, dtype)
        cos, sin = self._pass.rotations[key]
        if not self.config.per_head:
            return {"position_embeddings": (cos.squeeze(1), sin.squeeze(1))}
        keys = (cos, sin) if all_positions is positions else self.rotations[index](all_positions, dtype)
        # The layer itself then rotates by nothing; the attention function rotates each head.
        still = torch.ones_like(cos[:1, 0]), torch.zeros_like(sin[:1, 0])
        return {"position_embeddings": still, "per_head_rotation": ((cos, sin), keys)}

    def _increments(self, index: int, hidden_states: Tensor) -> Float[Tensor, "batch head token"]:
        if self.config.scope == "per_layer":
            increments = self.layers[index].increments(hidden_states)
        elif self._pass.increments is not None and index != self.layer_indices[0]:
            increments = self._pass.increments
        else:
            increments = self._pass.increments = self.decoder.increments(hidden_states)
        for function in self.overrides:
            increments = function(index, increments).to(torch.float32).expand_as(increments)
        real = real_tokens(self._pass.attention_mask, increments.shape[-1], self._pass.num_past_tokens)
        return increments if real is None else increments.masked_fill(~real[:, None].to(increments.device), 0)

    def _positions(self, index: int, increments: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """Positions of the new tokens, and of all tokens that the layer's keys hold.

        The origin is arbitrary; it is where unit increments give 0, 1, 2, ... as in the base model.
        """
        if cache is None or not (self.config.accumulate or self.config.per_head):
            positions = self._placed(running_sum(increments), increments)
            return positions, positions
        clock, past = clock_of(cache, len(self.layers)).advance(index, running_sum(increments))
        return self._placed(clock, increments), self._placed(
            past, past.diff(dim=-1, prepend=torch.zeros_like(past[..., :1]))
        )

    def _placed(self, clock: Tensor, increments: Tensor) -> Tensor:
        if not self.config.accumulate:
            return increments
        positions = clock - 1 if self.config.advance == "before" else clock - increments
        return positions if self.config.angles == "float64" else positions.float()


@dataclass
class LayerHook:
    """Forward pre-hook of a decoder layer: replaces its `position_embeddings`."""

    increments: Increments
    index: int

    def __call__(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:  # noqa: D102
        hidden_states = args[0] if args else kwargs["hidden_states"]
        cache = kwargs.get("past_key_values", kwargs.get("layer_past"))
        dtype = kwargs["position_embeddings"][0].dtype
        return args, {**kwargs, **self.increments.layer_arguments(self.index, hidden_states, cache, dtype)}


@dataclass
class PassBeginHook:
    """Forward pre-hook of the decoder: a new pass begins."""

    increments: Increments

    def __call__(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: D102
        mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
        self.increments.begin_pass(mask, kwargs.get("past_key_values"))


@dataclass
class PassEndHook:
    """Forward hook of the decoder: the pass is over."""

    increments: Increments

    def __call__(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:  # noqa: D102
        self.increments.end_pass()

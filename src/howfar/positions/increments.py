"""The learned positions of one model: predicted, summed, and handed to its layers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from howfar.errors import OverrideError, UnsupportedModelError
from howfar.positions.calls import Calls, ForwardPass, IncrementFunction, Recording
from howfar.positions.checkpointing import is_reentrant, lead_gradients_through
from howfar.positions.clock import clock_of, running_sum
from howfar.positions.config import IncrementConfig
from howfar.positions.network import IncrementNetwork
from howfar.positions.padding import real_tokens
from howfar.positions.per_head import PerHeadRotation, check_attention
from howfar.positions.rotation import Rotation
from howfar.positions.shapes import Float


class Increments:
    """The learned positions of one model; made by `attach`, found again by `increments_of`.

    It owns no parameters: the networks are submodules of the model, all named `increments`. It is a plain object rather
    than a module, so that the model keeps the structure that Transformers, PEFT and FSDP expect. What belongs to one
    call is kept apart for each thread, so threads may share a model.

    Args:
        config: The kind of increments.
        decoder: The module that runs the decoder layers.
        layers: The decoder layers.
        rotations: How each layer rotates, by its index; layers without rotary positions are absent.
    """

    def __init__(
        self, config: IncrementConfig, decoder: PreTrainedModel, layers: nn.ModuleList, rotations: dict[int, Rotation]
    ) -> None:
        self.config = config
        self.decoder = decoder
        self.layers = layers
        self.rotations = rotations
        self._calls = Calls()
        self._hooks: list[RemovableHandle] = []

    @property
    def recordings(self) -> list[Recording]:
        """Who is told in this thread what each layer uses."""
        return self._calls.recordings

    def overridden_by(self, function: IncrementFunction) -> AbstractContextManager[None]:
        """Replace increments for a while, in this thread; `override` is how it is called."""
        return self._calls.within("overrides", function)

    def recorded_by(self, recording: Recording) -> AbstractContextManager[None]:
        """Tell `recording` for a while what each layer uses, in this thread; `record` is how it is called."""
        return self._calls.within("recordings", recording)

    @property
    def layer_indices(self) -> tuple[int, ...]:
        """Decoder layers that have learned positions."""
        return tuple(self.rotations)

    @property
    def owners(self) -> tuple[nn.Module, ...]:
        """The modules that have a network: the decoder if shared, else each of `layer_indices`."""
        return (self.decoder,) if self.config.scope == "shared" else tuple(self.layers[i] for i in self.layer_indices)

    @property
    def networks(self) -> tuple[IncrementNetwork, ...]:
        """The networks, in the order of `owners`."""
        return tuple(cast(IncrementNetwork, owner.increments) for owner in self.owners)

    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the networks."""
        return [parameter for network in self.networks for parameter in network.parameters()]

    def add_hooks(self) -> None:
        """Take over the positions of the model."""
        self._hooks = [
            self.decoder.register_forward_pre_hook(self._begin_pass, with_kwargs=True),
            self.decoder.register_forward_hook(self._end_pass, always_call=True),
        ]
        self._hooks += [
            self.layers[index].register_forward_pre_hook(partial(self._move_layer, index), with_kwargs=True)
            for index in self.layer_indices
        ]

    def remove_hooks(self) -> None:
        """Leave the positions to the model again."""
        for hook in self._hooks:
            hook.remove()

    def _begin_pass(self, decoder: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of the decoder: note what its layers need to know."""
        if self.config.per_head:
            check_attention(decoder)
        cache = kwargs.get("past_key_values")
        num_past_tokens = 0 if cache is None else cache.get_seq_length()
        if isinstance(num_past_tokens, Tensor):
            num_past_tokens = num_past_tokens.clone()  # the first layer advances the cache's own
        attention_mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
        self._calls.passes.append(ForwardPass(attention_mask, num_past_tokens))

    def _end_pass(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Forward hook of the decoder: let go of the pass's tensors, also when it failed."""
        if self._calls.passes:  # a hook before `_begin_pass` may have failed
            self._calls.passes.pop()

    def _move_layer(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Forward pre-hook of a decoder layer: replace its positions by learned ones."""
        hidden_states, current = args[0], self._current_pass(index)
        increments = self._increments(index, hidden_states, current)
        history, clock = running_sum(increments), None
        cache = kwargs.get("past_key_values", kwargs.get("layer_past"))
        if cache is not None:
            clock = clock_of(cache, index, len(self.layers))
            history = clock.advance(index, history)
        positions = self._place(history[..., -increments.shape[-1] :], increments)
        for recording in self._calls.recordings:
            recording.increments[index], recording.positions[index] = increments, positions

        # Layers at the same positions share their cosines.
        same_positions = self.config.scope == "shared" and not self._calls.overrides
        key = self.rotations[index].prefix if same_positions else index
        rotation = current.rotations.get(key)
        if rotation is None:
            rotation = self.rotations[index](positions, kwargs["position_embeddings"][0].dtype)
            if is_reentrant(layer):
                hidden_states, rotation = lead_gradients_through(hidden_states, rotation)
            current.rotations[key] = rotation
        cos, sin = rotation
        args = (hidden_states, *args[1:])
        if not self.config.per_head:
            return args, {**kwargs, "position_embeddings": (cos.squeeze(1), sin.squeeze(1))}

        keys: tuple[Tensor, Tensor] = rotation
        num_keys: int | Tensor = positions.shape[-1]
        if clock is not None:
            all_positions = self._place(history, history.diff(dim=-1, prepend=torch.zeros_like(history[..., :1])))
            keys, num_keys = self.rotations[index](all_positions, cos.dtype), clock.num_tokens(index)
        # The layer itself then rotates by nothing; the attention function rotates each head.
        still = torch.ones_like(cos[:1, 0]), torch.zeros_like(sin[:1, 0])
        per_head_rotation = PerHeadRotation(self.rotations[index].width, rotation, keys, num_keys)
        return args, {**kwargs, "position_embeddings": still, "per_head_rotation": per_head_rotation}

    def _current_pass(self, index: int) -> ForwardPass:
        if not self._calls.passes:
            raise UnsupportedModelError(
                f"decoder layer {index} ran outside of {type(self.decoder).__name__}.forward, which knows the padding "
                "and the first layer's input; call the whole model, and checkpoint by gradient_checkpointing_enable()"
            )
        return self._calls.passes[-1]

    def _increments(
        self, index: int, hidden_states: Float[Tensor, "batch token width"], current: ForwardPass
    ) -> Float[Tensor, "batch head token"]:
        """The increments of a layer's tokens, overridden, and 0 for padding."""
        if self.config.scope == "per_layer":
            increments = self.layers[index].get_submodule("increments")(hidden_states)
        else:
            if current.shared_increments is None:
                current.shared_increments = self.decoder.get_submodule("increments")(hidden_states)
            increments = current.shared_increments
        for function in self._calls.overrides:
            increments = _like(increments, function(index, increments), index)
        real = real_tokens(current.attention_mask, increments.shape[-1], current.num_past_tokens)
        return increments if real is None else increments.masked_fill(~real[:, None].to(increments.device), 0)

    def _place(
        self, sums: Float[Tensor, "batch head token"], increments: Float[Tensor, "batch head token"]
    ) -> Float[Tensor, "batch head token"]:
        """The positions of tokens. The origin is where unit increments give 0, 1, 2, ... as in the base model."""
        if not self.config.accumulate:
            return increments
        positions = sums - 1 if self.config.advance == "before" else sums - increments
        return positions if self.config.angles == "float64" else positions.float()


def _like(increments: Tensor, replacement: Any, index: int) -> Tensor:
    """An override's result in the shape and type of the increments that it replaces."""
    try:
        replacement = torch.as_tensor(replacement, dtype=torch.float32, device=increments.device)
        return replacement.expand_as(increments)
    except (RuntimeError, TypeError, ValueError) as error:
        got = f"shape {tuple(replacement.shape)}" if isinstance(replacement, Tensor) else type(replacement).__name__
        raise OverrideError(
            f"an override returned {got} for layer {index}; it must return increments [batch, head, token] = "
            f"{tuple(increments.shape)}, or what broadcasts to them"
        ) from error

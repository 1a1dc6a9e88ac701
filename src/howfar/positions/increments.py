"""The learned positions of one model: predicted, summed, and handed to its layers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from howfar.errors import UnsupportedModelError
from howfar.positions.arguments import LayerCall, parameter_names
from howfar.positions.base_positions import BasePositions, position_ids_of
from howfar.positions.calls import Calls, ForwardPass, IncrementFunction, Recording, num_running, overridden
from howfar.positions.clock import Clock, check_frequencies, check_length, clock_of
from howfar.positions.compiling import notice_hooks
from howfar.positions.config import IncrementConfig
from howfar.positions.decoder import key_sources
from howfar.positions.encodings import encoding_of
from howfar.positions.encodings.encoding import Encoding
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.network import IncrementNetwork
from howfar.positions.rotation import Rotation, check_count, check_rotary
from howfar.positions.shapes import Float, Length


class Increments:
    """The learned positions of one model; made by `attach`, found again by `increments_of`.

    It owns no parameters: the networks are submodules of the model, all named `increments`. It is a plain object, not
    a module, so that the model keeps the structure that Transformers, PEFT and FSDP expect. The state of one
    call is kept per thread, so threads may share a model.

    Args:
        config: The kind of increments; None where every increment is 1, which an override can change.
        encoding: How positions reach attention: its name and options.
        decoder: The module that runs the decoder layers.
        layers: The decoder layers.
        rotations: How each layer rotates, by its index; layers without rotary positions are absent.
        num_heads: Heads of a layer that have increments of their own, with `per_head`.

    Attributes:
        num_heads: Increments of a token in a layer.
    """

    def __init__(
        self,
        config: IncrementConfig | None,
        encoding: Mapping[str, Any],
        decoder: PreTrainedModel,
        layers: nn.ModuleList,
        rotations: dict[int, Rotation],
        num_heads: int,
    ) -> None:
        self.encoding: Encoding = encoding_of(encoding, config, rotations)
        self.table = self.encoding.token_increments(decoder)
        self.is_plain = config is None and self.table is None
        self.config = config or IncrementConfig(scope="shared", bound="softplus")
        self.num_heads = num_heads if self.config.per_head else self.encoding.num_sets
        self.decoder, self.layers, self.rotations = decoder, layers, rotations
        self.key_sources = key_sources(decoder)
        self.num_holders = 0  # of `observe.movable`
        self._calls = Calls()
        self._counts_on = False  # as was seen in a pass
        self._names_of_decoder, self._names_of_layers = parameter_names(decoder), [*map(parameter_names, layers)]
        self._hooks: list[RemovableHandle] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        notice_hooks()  # a copy from another process brings hooks of its own
        vars(self).update(state, num_holders=0)  # no block holds a copy

    def __repr__(self) -> str:
        return f"Increments({len(self.layer_indices)} layers, {self.encoding.name}, {self.config})"

    @property
    def is_observed(self) -> bool:
        """Whether increments are overridden or recorded in this thread."""
        return bool(self._calls.overrides or self._calls.recordings)

    def overridden_by(self, function: IncrementFunction) -> AbstractContextManager[None]:
        """Replace increments for a while, in this thread; `override` calls it."""
        return self._calls.within("overrides", function)

    def recorded_by(self, recording: Recording) -> AbstractContextManager[None]:
        """Tell `recording` for a while what each layer uses, in this thread; `record` calls it."""
        return self._calls.within("recordings", recording)

    @property
    def layer_indices(self) -> tuple[int, ...]:
        """Decoder layers that have learned positions."""
        return tuple(self.rotations)

    @property
    def owners(self) -> tuple[nn.Module, ...]:
        """The modules that have a network or table: the decoder if shared, else each of `layer_indices`."""
        if self.is_plain:
            return ()
        return (self.decoder,) if self.config.scope == "shared" else tuple(self.layers[i] for i in self.layer_indices)

    @property
    def networks(self) -> tuple[IncrementNetwork, ...]:
        """The networks, in the order of `owners`; none where increments are looked up."""
        return tuple(owner.increments for owner in self.owners if isinstance(owner.increments, IncrementNetwork))

    def parameters(self) -> list[nn.Parameter]:
        """All parameters of the networks."""
        return [parameter for network in self.networks for parameter in network.parameters()]

    def add_hooks(self) -> None:
        """Take over the model's positions."""
        notice_hooks()
        self._hooks = [
            self.decoder.register_forward_pre_hook(self._begin_pass, with_kwargs=True),
            self.decoder.register_forward_hook(self._end_pass, always_call=True),
        ]
        self._hooks += [
            self.layers[index].register_forward_pre_hook(partial(self._move_layer, index), with_kwargs=True)
            for index in self.layer_indices
        ]
        rotary = next(iter(self.rotations.values())).module
        self._hooks.append(rotary.register_forward_pre_hook(self._check_count, with_kwargs=True))
        if any(rotation.varies for rotation in self.rotations.values()):
            self._hooks.append(rotary.register_forward_hook(self._note_frequencies))

    def remove_hooks(self) -> None:
        """Give the positions back to the model."""
        for hook in self._hooks:
            hook.remove()

    def _begin_pass(self, decoder: PreTrainedModel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of the decoder: note what its layers need to know."""
        if "cache" in kwargs and "write_index" in kwargs:
            raise UnsupportedModelError(
                "continuous batching (generate_batch, paged attention) mixes the tokens of many requests in one row, "
                "and positions cannot follow its cache; use model.generate with a padded batch"
            )
        check_rotary(decoder, self.rotations)
        self.encoding.check(decoder)
        call = LayerCall(self._names_of_decoder, args, kwargs)
        cache = call.cache()
        num_past_tokens = 0 if cache is None else cache.get_seq_length()
        if isinstance(num_past_tokens, Tensor):
            num_past_tokens = num_past_tokens.clone()  # the first layer advances the cache's own
        if self._calls.passes and not torch.compiler.is_compiling():
            del self._calls.passes[num_running(decoder) - 1 :]  # PyTorch runs no hook after Ctrl-C, which left them
        self._calls.passes.append(
            ForwardPass(
                decoder,
                call.get("attention_mask"),
                position_ids_of(call, self.rotations),
                num_past_tokens,
                cache,
                None if cache is None else clock_of(cache),
                call.get("input_ids") if self.table is not None else None,
            )
        )

    def _end_pass(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Forward hook of the decoder: release the pass's tensors, also when it failed."""
        del self._calls.passes[-1:]  # none if a hook before `_begin_pass` failed

    def _check_count(self, rotary: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of the rotary module: check once that the model counts on from a cache by itself."""
        current = self._calls.passes[-1] if self._calls.passes else None
        if self._counts_on or current is None or current.position_ids is not None or torch.compiler.is_compiling():
            return
        if num_past_tokens := int(current.num_past_tokens):
            check_count(self.decoder, LayerCall(parameter_names(rotary), args, kwargs), num_past_tokens)
            self._counts_on = True

    def _note_frequencies(self, rotary: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Forward hook of the rotary module: keep its frequencies for this pass, since other passes change them."""
        if self._calls.passes:
            self._calls.passes[-1].frequencies = {r.prefix: r.frequencies.clone() for r in self.rotations.values()}

    def _move_layer(
        self, index: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Forward pre-hook of a decoder layer: replace its positions by learned ones."""
        current = self._current_pass(index)
        call = LayerCall(self._names_of_layers[index], args, kwargs)
        learned = self._layer_positions(index, layer, call, current)
        for recording in self._calls.recordings:
            recording.increments[index], recording.positions[index] = learned.increments, learned.positions
        return self.encoding.reach(index, layer, call, learned)

    def _current_pass(self, index: int) -> ForwardPass:
        if not self._calls.passes:
            raise UnsupportedModelError(
                f"decoder layer {index} ran outside of {type(self.decoder).__name__}.forward, which knows the padding "
                "and the first layer's input; call the whole model, checkpointed by gradient_checkpointing_enable()"
            )
        return self._calls.passes[-1]

    def _layer_positions(self, index: int, layer: nn.Module, call: LayerCall, current: ForwardPass) -> LayerPositions:
        """The positions of a layer's tokens; the previous layer's if both stand at the same ones."""
        clock = current.clock_of(call.cache())
        if clock is not None:
            check_length(current.cache, clock, index)
            if self.config.per_head and current.frequencies:
                prefix = self.rotations[index].prefix
                check_frequencies(clock, prefix, current.frequencies[prefix], current.num_past_tokens)
        past = None if clock is None else clock.past(index)
        sums_of = self.encoding.sums(layer)
        is_shared = self.config.scope == "shared" and not self._calls.overrides and sums_of is None
        first = current.shared_positions
        if is_shared and first is not None and first.past is past:
            if clock is not None:
                clock.share(index, self.layer_indices[0])
            return first
        increments = self._increments(index, layer, call.hidden_states(), current)
        base = current.base_positions_of(increments, past)
        sums = None if sums_of is None else sums_of(call.hidden_states()).to(increments.device)
        if base.real is not None:
            increments = increments.masked_fill(~base.real[:, None], 0)
        learned = self._summed(index, increments, sums, base, past, clock, current.frequencies)
        if is_shared and first is None:
            current.shared_positions = learned
        return learned

    def _summed(
        self,
        index: int,
        increments: Float[Tensor, "batch head token"],
        sums: Tensor | None,
        base: BasePositions,
        past: Tensor | None,
        clock: Clock | None,
        frequencies: dict[str, Tensor],
    ) -> LayerPositions:
        """Positions, and whatever an encoding sums, of a layer's tokens; advances the clock."""
        displacement, positions = self._displacement_and_positions(increments, sums, base, past)
        num_heads = increments.shape[1]
        totals, all_positions = displacement, positions
        num_tokens: Length | Tensor = positions.shape[-1]
        if clock is not None:
            next_ids = base.next_id.to(displacement.dtype)[:, None].expand_as(displacement)
            history = clock.append(index, torch.stack((displacement, positions, next_ids), dim=1))
            totals, all_positions, num_tokens = history[:, 0], history[:, 1], clock.num_tokens(index)
        positions = positions[:, :num_heads]
        all_positions = positions if clock is None else all_positions[:, :num_heads]
        if self.config.angles == "float32":
            is_same = all_positions is positions
            positions = positions.float()
            all_positions = positions if is_same else all_positions.float()
        summed = None if sums is None else totals[:, num_heads:]
        return LayerPositions(increments, positions, all_positions, num_tokens, summed, past, frequencies)

    def _increments(
        self, index: int, layer: nn.Module, hidden_states: Tensor, current: ForwardPass
    ) -> Float[Tensor, "batch head token"]:
        """The increments of a layer's tokens, after overrides."""
        if hidden_states.ndim == 4:  # several streams; the layer's attention reads one of them (Gemma 3n)
            active = getattr(self.decoder.config, "altup_active_idx", None)
            if active is None:
                raise UnsupportedModelError(f"{type(self.decoder).__name__} has several streams; use a model with one")
            hidden_states = hidden_states[active]
        if self.is_plain:
            increments = hidden_states.new_ones((len(hidden_states), 1, hidden_states.shape[1]), dtype=torch.float32)
        elif self.config.scope == "per_layer":
            increments = layer.get_submodule("increments")(hidden_states)
        else:
            if current.shared_increments is None:
                read = hidden_states if self.table is None else current.token_ids
                if read is None:
                    raise UnsupportedModelError(
                        f"{self.encoding.name} increments are looked up by token, and the model was given embeddings; "
                        "give it input_ids"
                    )
                current.shared_increments = current.decoder.get_submodule("increments")(read)
            increments = current.shared_increments
        return overridden(increments, self._calls.overrides, index, current, self.key_sources)

    def _displacement_and_positions(
        self,
        increments: Float[Tensor, "batch head token"],
        sums: Float[Tensor, "batch row token"] | None,
        base: BasePositions,
        past: Tensor | None,
    ) -> tuple[Float[Tensor, "batch head_or_row token"], Float[Tensor, "batch head_or_row token"]]:
        """How far tokens have moved from their base positions, and their positions; in float64 where the device has it.

        What an encoding sums is appended as further heads, whose displacement is the sum.
        """
        exact = increments.to(torch.float32 if increments.device.type == "mps" else torch.float64)
        excess = exact - 1
        if sums is not None:
            excess = torch.cat((excess, sums.to(excess.dtype)), dim=1)
        if base.real is not None:
            excess = excess.masked_fill(~base.real[:, None], 0)
        displacement = base.displacement(excess, None if past is None else past[:, 0, :, -1:])
        if not self.config.accumulate:
            return displacement, exact if sums is None else torch.cat((exact, displacement[:, exact.shape[1] :]), dim=1)
        positions = base.ids[:, None] + displacement
        return displacement, positions if self.config.advance == "before" else positions - excess

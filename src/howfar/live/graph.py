"""A model as a function of tensors, which reads a text piece by piece: what an ONNX file holds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from howfar.errors import ConfigError
from howfar.positions import Increments, override, record
from howfar.positions.clock import GrowingClock, clock_of
from howfar.positions.shapes import Float, Int

KEPT = (DynamicLayer, DynamicSlidingWindowLayer)  # layers of a cache that hold keys and values


@dataclass(frozen=True)
class State:
    """What a model keeps of the tokens that it has read.

    Attributes:
        positions: Where each layer's positions stand, `[layer, plane, head, past_token]`, in float64; `layer` runs over
            the layers with rotary positions, and `howfar.positions.clock` says what the planes are.
        keys_and_values: Of each layer with a cache, `[1, head, past_token, width]`.
    """

    positions: Tensor
    keys_and_values: tuple[tuple[Tensor, Tensor], ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of `names`."""
        return (self.positions, *(tensor for pair in self.keys_and_values for tensor in pair))

    def names(self, past: str) -> tuple[str, ...]:
        """The tensors' names in a graph, as other exporters of Transformers models name them.

        Args:
            past: `"past"` for inputs, `"present"` for outputs.
        """
        stem = "past_key_values" if past == "past" else past
        layers = range(len(self.keys_and_values))
        return (f"{past}_positions", *(f"{stem}.{layer}.{what}" for layer in layers for what in ("key", "value")))

    def like(self, num_tokens: int) -> State:
        """An arbitrary state of this many tokens; of none, the state before a text."""
        return State(
            self.positions.new_zeros((*self.positions.shape[:-1], num_tokens)),
            tuple(
                tuple(tensor.new_zeros((*tensor.shape[:2], num_tokens, tensor.shape[-1])) for tensor in pair)  # type: ignore[misc]
                for pair in self.keys_and_values
            ),
        )


class Graph(nn.Module):
    """A model that continues a text, with its increments as an output and their multipliers as an input.

    Args:
        model: The model.
        increments: Its increments.

    Raises:
        ConfigError: The model keeps something else of a text than keys and values.
    """

    def __init__(self, model: PreTrainedModel, increments: Increments) -> None:
        super().__init__()
        self.model = model
        self.row_of_layer = {layer: row for row, layer in enumerate(increments.layer_indices)}
        self.state = self._state_after_one_token()

    def forward(
        self,
        token_ids: Int[Tensor, "1 token"],
        multipliers: Float[Tensor, "layer token"],
        past_positions: Float[Tensor, "layer plane head past_token"],
        past_keys_and_values: tuple[tuple[Tensor, Tensor], ...],
    ) -> tuple[Tensor, ...]:
        """Logits, increments, and the state that includes the new tokens."""
        cache, clock = _empty_cache()
        for layer, pair in enumerate(past_keys_and_values):
            cache.update(*pair, layer)
        # Positions begin at 0, so there is a last one to go on from in any case.
        begun = torch.cat((past_positions.new_zeros((*past_positions.shape[:-1], 1)), past_positions), dim=-1)
        for layer, row in self.row_of_layer.items():
            clock.histories[layer] = begun[row][None]
        logits, increments = self.read(token_ids, multipliers, cache)
        positions = torch.stack([clock.histories[layer][0, ..., 1:] for layer in self.row_of_layer])
        state = State(positions, tuple((layer.keys, layer.values) for layer in cache.layers))
        return logits, increments, *state.tensors

    def read(
        self,
        token_ids: Int[Tensor, "1 token"],
        multipliers: Float[Tensor, "layer token"],
        cache: DynamicCache | None = None,
    ) -> tuple[Float[Tensor, "1 token vocabulary"], Float[Tensor, "layer head token"]]:
        """Logits and increments of tokens; without a cache, of a whole text."""

        def scale(layer: int, increments: Tensor) -> Tensor:
            return increments * multipliers[self.row_of_layer[layer]]

        with override(self.model, scale), record(self.model) as recording:
            logits = self.model(input_ids=token_ids, past_key_values=cache, use_cache=cache is not None).logits
        return logits, torch.stack([recording.increments[layer][0] for layer in self.row_of_layer])

    def _state_after_one_token(self) -> State:
        if not all(type(layer) in KEPT for layer in DynamicCache(config=self.model.config).layers):
            raise ConfigError(
                f"{type(self.model).__name__} keeps more of a text than keys and values, so it cannot be exported to "
                "ONNX; export a model whose layers all attend"
            )
        cache, clock = _empty_cache()
        self.model(input_ids=torch.zeros((1, 1), dtype=torch.long), past_key_values=cache, use_cache=True)
        histories = [clock.histories[layer][0] for layer in self.row_of_layer]
        return State(torch.stack(histories), tuple((layer.keys, layer.values) for layer in cache.layers))


def _empty_cache() -> tuple[DynamicCache, GrowingClock]:
    cache = DynamicCache()
    clock = clock_of(cache)
    assert isinstance(clock, GrowingClock)
    return cache, clock

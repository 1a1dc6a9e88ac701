"""A model as a function of tensors, which reads a text piece by piece: what an ONNX file holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from howfar.positions import Increments, override, record
from howfar.positions.arguments import CACHE_NAME
from howfar.positions.clock import GrowingClock, clock_of
from howfar.positions.shapes import Float, Int

KEPT = (DynamicLayer, DynamicSlidingWindowLayer)  # layers of a cache that hold keys and values

State = tuple[Tensor, ...]
"""What a model keeps of the tokens that it has read.

First where each layer's positions stand, float64 `[layer, plane, head, past_token]`: `layer` runs over the layers with
rotary positions, and `howfar.positions.clock` says what the planes are. Then keys and values of each layer with a
cache, `[1, head, past_token, width]`.
"""


class Graph(nn.Module):
    """A model that continues a text, with its increments as an output and their multipliers as an input.

    Args:
        model: The model.
        increments: Its increments.

    Attributes:
        row_of_layer: The row of each layer in the multipliers and increments.
        can_continue: Whether the model can continue a text. Otherwise it reads whole ones, and states are empty: it
            keeps something else than keys and values, or its frequencies change with the length of the text.
    """

    def __init__(self, model: PreTrainedModel, increments: Increments) -> None:
        super().__init__()
        self.model = model
        self.row_of_layer = {layer: row for row, layer in enumerate(increments.layer_indices)}
        keeps = DynamicCache(config=model.config).layers
        varies = any(rotation.varies for rotation in increments.rotations.values())
        self.can_continue = not varies and all(type(layer) in KEPT for layer in keeps)
        self._after_one_token = self._state_after_one_token() if self.can_continue else ()

    def forward(
        self, token_ids: Int[Tensor, "1 token"], multipliers: Float[Tensor, "layer token"], past: State = ()
    ) -> tuple[Tensor, ...]:
        """Logits, increments, and the state that includes the new tokens."""
        if not self.can_continue:
            return self.read(token_ids, multipliers)
        past_positions, *keys_and_values = past
        cache, clock = _empty_cache()
        for layer, (key, value) in enumerate(zip(keys_and_values[::2], keys_and_values[1::2], strict=True)):
            cache.update(key, value, layer)
        # Positions begin at 0, so there is a last one to go on from in any case.
        begun = torch.cat((past_positions.new_zeros((*past_positions.shape[:-1], 1)), past_positions), dim=-1)
        for layer, row in self.row_of_layer.items():
            clock.histories[layer] = begun[row][None]
        logits, increments = self.read(token_ids, multipliers, cache)
        return logits, increments, *self._state_of(cache, clock, num_before=1)

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
            logits = self.model(input_ids=token_ids, use_cache=cache is not None, **{CACHE_NAME: cache}).logits
        return logits, torch.stack([recording.increments[layer][0] for layer in self.row_of_layer])

    def state_like(self, num_tokens: int) -> State:
        """A state after this many tokens, all of them alike; after none, the state before a text."""
        return tuple(
            tensor.repeat_interleave(num_tokens, dim=axis)
            for tensor, axis in zip(self._after_one_token, self.token_axes, strict=True)
        )

    @property
    def token_axes(self) -> tuple[int, ...]:
        """The axis of the tokens in each tensor of a state."""
        return (3, *[2] * (len(self._after_one_token) - 1)) if self.can_continue else ()

    def names(self, positions: str, keys_and_values: str) -> tuple[str, ...]:
        """Names of a state's tensors, as other exporters of Transformers models name them.

        Args:
            positions: Name of the positions.
            keys_and_values: What the names of keys and values begin with.
        """
        pairs = range(len(self._after_one_token[1:]) // 2)
        names = (positions, *(f"{keys_and_values}.{layer}.{what}" for layer in pairs for what in ("key", "value")))
        return names if self.can_continue else ()

    def _state_after_one_token(self) -> State:
        cache, clock = _empty_cache()
        self.model(input_ids=torch.zeros((1, 1), dtype=torch.long), use_cache=True, **{CACHE_NAME: cache})
        return self._state_of(cache, clock)

    def _state_of(self, cache: DynamicCache, clock: GrowingClock, num_before: int = 0) -> State:
        """The state in a cache, without the first positions of its clock."""
        positions = torch.stack([clock.histories[layer][0, ..., num_before:] for layer in self.row_of_layer])
        return positions, *(tensor for layer in cache.layers for tensor in (layer.keys, layer.values))


def _empty_cache() -> tuple[DynamicCache, GrowingClock]:
    cache = DynamicCache()
    clock = clock_of(cache)
    assert isinstance(clock, GrowingClock)
    return cache, clock

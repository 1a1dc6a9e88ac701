"""What an encoding is: a way for positions to reach attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from howfar.errors import ConfigError
from howfar.positions.arguments import LayerCall
from howfar.positions.checkpointing import is_reentrant, lead_gradients_through
from howfar.positions.config import IncrementConfig
from howfar.positions.layer_positions import LayerPositions
from howfar.positions.options import check_options
from howfar.positions.rotation import Rotation


@dataclass(frozen=True)
class NoOptions:
    """The options of an encoding that has none."""

    def __post_init__(self) -> None:
        check_options("encoding", self)


class Encoding:
    """One way for positions to reach attention.

    A new encoding is a class in a file of this folder; recipes and configurations know it by its `name`. Before each
    decoder layer runs, the encoding gets that layer's positions and the arguments of its coming call, and
    returns the arguments that make the layer attend by those positions.

    Args:
        increments: The kind of increments; None where every increment is 1.
        options: An instance of `Options`.
        rotations: How each layer rotates, by its index.

    Attributes:
        name: Its name in recipes.
        Options: The dataclass of its options.
        num_sets: Position sets of a token in a layer: one, or several side by side.
        needs_increments: Whether it requires increments.
        known: All encodings that have been imported, by name.
    """

    name: ClassVar[str] = ""
    Options: ClassVar[type] = NoOptions
    known: ClassVar[dict[str, type[Encoding]]] = {}
    num_sets: int = 1
    needs_increments: ClassVar[bool] = False

    def __init__(self, increments: IncrementConfig | None, options: Any, rotations: dict[int, Rotation]) -> None:
        self.increments, self.options, self.rotations = increments, options, rotations

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__dict__.get("name"):
            Encoding.known[cls.name] = cls

    @classmethod
    def check_increments(cls, options: Any, increments: IncrementConfig | None) -> None:
        """Refuse increments that this encoding cannot pass to attention.

        Raises:
            ConfigError: These increments do not work with this encoding.
        """
        if cls.needs_increments and increments is None:
            raise ConfigError(f"encoding: {cls.name!r} is plain RoPE without increments; give [increments] as well")

    def layer_module(self, decoder: PreTrainedModel) -> nn.Module | None:
        """What a layer learns besides its own weights; becomes the layer's submodule `encoding`."""
        return None

    def token_increments(self, decoder: PreTrainedModel) -> nn.Module | None:
        """A module that maps token ids to increments `[batch, set, token]`, instead of a learned network."""
        return None

    def sums(self, layer: nn.Module) -> Callable[[Tensor], Tensor] | None:
        """What it sums over tokens besides increments: a function from a layer's input to `[batch, head, token]`."""
        return None

    def prepare(self, decoder: PreTrainedModel) -> None:
        """Prepare a decoder, once, when the encoding is attached."""

    def restore(self, decoder: PreTrainedModel) -> None:
        """Undo `prepare`."""

    def check(self, decoder: PreTrainedModel) -> None:
        """Before each forward pass: check that the decoder is still as `prepare` left it."""

    def reach(
        self, index: int, layer: nn.Module, call: LayerCall, learned: LayerPositions
    ) -> tuple[tuple[Any, ...], Any]:
        """The positional and keyword arguments that make layer `index` attend by these positions."""
        raise NotImplementedError


def led(layer: nn.Module, call: LayerCall, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors that a layer may get by keyword: their gradients return also under reentrant checkpointing."""
    if not is_reentrant(layer):
        return tensors
    hidden_states, tensors = lead_gradients_through(call.hidden_states(), tensors)
    call.set(call.names[0], hidden_states)
    return tensors

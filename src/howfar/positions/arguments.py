"""The arguments of a module's forward, by name, whether passed by position or by keyword."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import Tensor, nn
from transformers import Cache, GenerationMixin

CACHE_NAMES = ("cache", "past_key_values", "layer_past")
"""Names under which modules get the key-value cache; the deprecated ones are renamed only inside their forward."""
CACHE_NAME = next(n for n in CACHE_NAMES if n in signature(GenerationMixin.prepare_inputs_for_generation).parameters)
"""The cache's name in the calls and outputs of this version of Transformers: `cache` since 5.24."""


def parameter_names(module: nn.Module) -> tuple[str, ...]:
    """The parameters of `forward` in a module's class, without `self`."""
    return tuple(signature(type(module).forward).parameters)[1:]


class LayerCall:
    """A coming call of a module.

    Args:
        names: The parameters of the module's forward, in order.
        args: Positional arguments.
        kwargs: Keyword arguments.
    """

    def __init__(self, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.names, self._args, self._kwargs = names, list(args), dict(kwargs)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument; `default` if it was not passed."""
        if name in self._kwargs:
            return self._kwargs[name]
        place = self._place(name)
        return default if place is None else self._args[place]

    def set(self, name: str, value: Any) -> None:
        """Replace an argument that was passed, or add it by keyword."""
        place = self._place(name)
        if place is None:
            self._kwargs[name] = value
        else:
            self._args[place] = value

    def cache(self) -> Any:
        """The key-value cache, by whatever name it was passed; None without one."""
        for name in CACHE_NAMES:
            if (cache := self.get(name)) is not None:
                return cache
        return next((value for value in (*self._args, *self._kwargs.values()) if isinstance(value, Cache)), None)

    def hidden_states(self) -> Tensor:
        """The first argument: what a decoder layer reads."""
        states: Tensor = self.get(self.names[0])
        return states

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments."""
        return tuple(self._args), self._kwargs

    def _place(self, name: str) -> int | None:
        place = self.names.index(name) if name in self.names else len(self.names)
        return place if name not in self._kwargs and place < len(self._args) else None

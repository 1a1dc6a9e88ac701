"""The arguments of a module's forward, by name, whether passed by position or by keyword."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn


def parameter_names(module: nn.Module) -> tuple[str, ...]:
    """The parameters of `forward` in a module's class, without `self`."""
    return tuple(inspect.signature(type(module).forward).parameters)[1:]


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

"""What kind of increments a model gets."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from howfar.errors import ConfigError
from howfar.positions.bounds import Bound

Scope = Literal["shared", "per_layer"]
Advance = Literal["before", "after"]
Start = Literal["identity", "random"]
Angles = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class IncrementConfig:
    """How a model's positions advance.

    Args:
        scope: `"shared"`: one network reads the token embedding and gives one set of positions to all layers.
            `"per_layer"`: each layer has its own network, which reads the residual stream entering that layer.
        per_head: One increment for each key-value head instead of one for the layer. Query heads that share a key
            head share its positions.
        bound: The range of an increment: `"softplus"` (0, inf), `"sigmoid"` (0, `max_increment`), `"signed"` any real.
        max_increment: Upper bound of the `"sigmoid"` range, in positions; greater than 1.
        accumulate: Whether a position is the running sum of the increments. With `False` the network's output is the
            position itself: tokens are re-positioned without order.
        advance: Whether token t's own increment counts into its position (`"before"`) or first into the next one's
            (`"after"`). Either way unit increments give positions 0, 1, 2, ...
        start: `"identity"`: every increment is exactly 1 at first (a zero output layer), so that a pretrained model
            is unchanged. `"random"`: a randomly drawn output layer, increments near 1; for training from scratch.
        angles: `"float32"` computes angles as Transformers does, so unit increments reproduce a model bit for bit;
            its error grows with length (3e-5 at 512 tokens, 8e-3 at 128 K). `"float64"` wraps each angle in double
            precision first and keeps 2.5e-7 at any length.
        hidden_size: Width of the network; a quarter of the model's width where None.

    Raises:
        ConfigError: An option has a value that it cannot take.
    """

    scope: Scope = "per_layer"
    per_head: bool = False
    bound: str = "sigmoid"
    max_increment: float = 10.0
    accumulate: bool = True
    advance: Advance = "before"
    start: Start = "identity"
    angles: Angles = "float32"
    hidden_size: int | None = None

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            choices = tuple(Bound.known) if name == "bound" else get_args(hint)
            if choices and all(isinstance(choice, str) for choice in choices) and getattr(self, name) not in choices:
                got, needed = getattr(self, name), " or ".join(repr(choice) for choice in choices)
                raise ConfigError(f"increments: {name} is {got!r}; it must be {needed}")
            if hint is bool and not isinstance(getattr(self, name), bool):
                raise ConfigError(f"increments: {name} is {getattr(self, name)!r}; it must be true or false")
        if not (isinstance(self.max_increment, int | float) and 1 < self.max_increment < math.inf):
            raise ConfigError(
                f"increments: max_increment is {self.max_increment!r}; "
                "it must be a number greater than 1, the value at the start"
            )
        if not (self.hidden_size is None or (isinstance(self.hidden_size, int) and self.hidden_size >= 1)):
            raise ConfigError(f"increments: hidden_size is {self.hidden_size!r}; it must be a whole number, at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IncrementConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: A key is unknown (the message names the nearest known one) or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise ConfigError(f"increments: there is no option {key!r}; {hint}")
        return cls(**values)

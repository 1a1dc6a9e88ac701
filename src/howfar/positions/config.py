"""What kind of increments a model gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from howfar.errors import ConfigError
from howfar.positions.bounds import Bound
from howfar.positions.options import check_options, needed_instead, read_options

Scope = Literal["shared", "per_layer"]
Advance = Literal["before", "after"]
Start = Literal["identity", "random"]
Angles = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class IncrementConfig:
    """How a model's positions advance.

    Args:
        scope: `"shared"`: one network reads the token embedding and gives one set of positions to all layers.
            `"per_layer"`: each layer has its own network, which reads the residual stream entering that layer. A
            forward pre-hook that changes this stream must be on the layer before `attach`: a later one runs after the
            network.
        per_head: One increment for each key-value head instead of one for the layer. Query heads that share a key
            head share its positions.
        bound: The range of an increment: `"softplus"` (0, inf), `"sigmoid"` (0, `max_increment`), `"signed"` any real.
        max_increment: Upper bound of the `"sigmoid"` range, in positions; greater than 1.
        accumulate: Whether a position is the running sum of the increments. With `False` the network's output is the
            position itself: tokens are re-positioned without order.
        advance: Whether token t's own increment counts towards its position (`"before"`) or only towards the next one's
            (`"after"`). Either way unit increments give positions 0, 1, 2, ...
        start: `"identity"`: every increment is exactly 1 at first (a zero output layer), so that a pretrained model
            is unchanged. `"random"`: a randomly drawn output layer, increments near 1; for training from scratch.
        angles: `"float32"` computes angles as Transformers does, so unit increments reproduce a model bit for bit;
            its error grows with length (3e-5 at 512 tokens, 8e-3 at 128 K). `"float64"` reduces each angle in double
            precision first and keeps 2.5e-7 at any length.
        hidden_size: Width of the network; None for a quarter of the model's width.

    Raises:
        ConfigError: An option has an invalid value.
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
        if self.hidden_size is not None and (needed_instead(self.hidden_size, int) or self.hidden_size < 1):
            raise ConfigError(f"increments: hidden_size is {self.hidden_size!r}; it must be a whole number, at least 1")
        check_options("increments", self)
        if self.bound not in Bound.known:
            needed = " or ".join(map(repr, Bound.known))
            raise ConfigError(f"increments: bound is {self.bound!r}; it must be {needed}")
        if self.max_increment <= 1:
            raise ConfigError(
                f"increments: max_increment is {self.max_increment!r}; "
                "it must be a number greater than 1, the value at the start"
            )

    @property
    def lag(self) -> int:
        """How many tokens before a token the increment that leads to it belongs: 0, or 1 with `advance="after"`."""
        return int(self.advance == "after")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IncrementConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: A key is unknown (the message names the nearest known one) or a value is out of range.
        """
        return read_options("increments", cls, values)

"""The mechanism: positions that advance by learned increments.

Read in this order: `config`, `network` (predicts increments), `base_positions` (where tokens stand before they move),
`clock` (sums and caches), `rotation` and `encodings` (how positions reach attention), `calls` and `increments` (one
layer's pass), `decoder` and `attachment` (a whole model), `observe`.
"""

from typing import TYPE_CHECKING

from howfar.imports import lazily

if TYPE_CHECKING:
    from howfar.positions.attachment import attach, detach, increments_of
    from howfar.positions.calls import IncrementFunction, Recording
    from howfar.positions.config import IncrementConfig
    from howfar.positions.increments import Increments
    from howfar.positions.network import IncrementNetwork
    from howfar.positions.observe import movable, override, record

__all__ = [
    "IncrementConfig",
    "IncrementFunction",
    "IncrementNetwork",
    "Increments",
    "Recording",
    "attach",
    "detach",
    "increments_of",
    "movable",
    "override",
    "record",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "attachment": ("attach", "detach", "increments_of"),
        "calls": ("IncrementFunction", "Recording"),
        "config": ("IncrementConfig",),
        "increments": ("Increments",),
        "network": ("IncrementNetwork",),
        "observe": ("movable", "override", "record"),
    },
)

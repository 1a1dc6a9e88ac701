"""The mechanism: positions that advance by learned increments.

Reads in this order: `config`, `network` (what predicts), `clock` (what sums), `rotation` (what turns), `increments`
(how they meet in a layer), `decoder` and `attach` (how they meet a model), `per_head`, `observe`.
"""

from howfar.positions.attach import attach, detach, increments_of
from howfar.positions.config import IncrementConfig
from howfar.positions.increments import IncrementFunction, Increments, Recording
from howfar.positions.network import IncrementNetwork
from howfar.positions.observe import override, record

__all__ = [
    "IncrementConfig",
    "IncrementFunction",
    "IncrementNetwork",
    "Increments",
    "Recording",
    "attach",
    "detach",
    "increments_of",
    "override",
    "record",
]

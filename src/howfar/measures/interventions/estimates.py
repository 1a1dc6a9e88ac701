"""From sums over windows to the numbers of a row of `interventions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from howfar.measures import statistics
from howfar.measures.interventions.controls import LAGS, MAX_MISMATCH, MIN_SHARE, mismatch
from howfar.measures.interventions.replacements import Untouched
from howfar.reading.windows import Window

Sums = dict[str, NDArray[np.float64]]
"""Sums over each window, `[window]`, by name."""

_ESTIMATES = (
    *("value", "beyond_shuffle", "control", "beyond_control", "opposite", "beyond_opposite"),
    *("attention_change", "attention_control"),
)
NUMBERS = tuple(column for name in _ESTIMATES for column in statistics.columns_of(name))
"""Columns of estimates and the ends of their intervals."""


def num_bytes(windows: Sequence[Window], scored: Tensor, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of bytes of each window's scored tokens, `[window]`."""
    return np.array(
        [
            lengths[window.tokens[1:]][kept[: len(window.tokens) - 1]].sum()
            for window, kept in zip(windows, scored.numpy(), strict=True)
        ]
    )


def squared_moves(untouched: Untouched, layer: int, new: Tensor) -> NDArray[np.float64]:
    """Squared change of a layer's increments, averaged over heads and summed over each window's tokens; `[window]`.

    The document mark does not count: its increment moves all tokens of a window alike.
    """
    squares = (new - untouched.increments[layer]).double().square().mean(dim=1).cpu()
    return np.asarray((squares * untouched.real)[:, 1:].sum(dim=1))


def total_variation(one: Tensor, other: Tensor) -> Tensor:
    """Total variation distance of attentions `[window, head, query, key]`, averaged over heads: `[window, query]`."""
    return (one - other).abs().sum(dim=-1).mean(dim=1).double() / 2


def estimates(sums: Sums, shuffle: Sums | None, seed: int) -> dict[str, Any]:
    """The numbers of a row.

    Args:
        sums: The sums of the intervention and its controls.
        shuffle: The sums of the shuffle within classes in the same layers; None if it is not a comparison.
        seed: Seed of the intervals.
    """
    change, control, opposite = (
        statistics.ratio(sums[name], sums["bytes"], seed=seed) for name in ("change", "control", "opposite")
    )
    watched = sums["queries"] > 0
    attention = [
        statistics.ratio(sums[name][watched], sums["queries"][watched], seed=seed)
        for name in ("attention_change", "attention_control")
    ]
    found = {"value": change, "control": control, "beyond_control": change - control}
    found |= {"opposite": opposite, "beyond_opposite": change - opposite}
    found |= {"attention_change": attention[0], "attention_control": attention[1]}
    if shuffle is not None:
        found["beyond_shuffle"] = change - statistics.ratio(shuffle["change"], shuffle["bytes"], seed=seed)
    values: dict[str, Any] = {}
    for name, estimate in found.items():
        values |= estimate.row(name)
    values["moved"] = float(np.sqrt(sums["squares"].sum() / sums["increments"].sum()))
    displaced, by_control, by_opposite = (
        np.array([sums[f"{name} at lag {lag}"].sum() for lag in LAGS]) for name in ("change", "control", "opposite")
    )
    values["control_mismatch"] = mismatch(displaced, by_control)
    if values["control_mismatch"] > MAX_MISMATCH:
        values["note"] = f"the control does not match: its displacement differs by more than {MAX_MISMATCH:.0%}"
    wanted = float(sums["change x change"].sum())
    values["opposite_share"] = -float(sums["change x opposite"].sum()) / wanted if wanted else None
    allowed = not wanted or values["opposite_share"] >= MIN_SHARE
    if not allowed or mismatch(displaced, by_opposite) > MAX_MISMATCH:
        values |= dict.fromkeys([*statistics.columns_of("opposite"), *statistics.columns_of("beyond_opposite")])
    return values | {"num_bytes": int(sums["bytes"].sum())}

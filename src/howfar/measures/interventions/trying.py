"""Effects of replacements and their controls: sums over a batch of windows, the work of one process; and estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.measures import statistics
from howfar.measures.interventions.controls import (
    LAGS,
    mismatch,
    opposite,
    phase_randomised,
    products,
    squared_displacements,
)
from howfar.measures.interventions.replacements import (
    AT_ONE_GAP,
    REPLACEMENTS,
    SHUFFLED_IN_CLASS,
    ByLayer,
    Generators,
    Untouched,
    first_moved,
)
from howfar.measures.tables import Row
from howfar.positions import movable, override
from howfar.reading.reader import Reader
from howfar.reading.readings import Kept, Reading
from howfar.reading.windows import Window, real_tokens

MAX_MISMATCH = 0.1
"""The largest relative difference between a matched control's displacements and the replacement's."""
MIN_SHARE = 0.9
"""The least share of the exact opposite change that an opposite control must have."""

Sums = dict[str, NDArray[np.float64]]
"""Sums over each window, `[window]`, by name."""

ESTIMATES = (
    *("value", "beyond_shuffle", "control", "beyond_control", "opposite", "beyond_opposite"),
    *("attention_change", "attention_control"),
)


@dataclass(frozen=True)
class Cell:
    """One intervention: a kind of replacement, the layers that it changes, and its dose (0 to 1)."""

    kind: str
    layers: tuple[int, ...]
    dose: float = 1.0

    @property
    def shuffle(self) -> Cell | None:
        """The shuffle within classes in the same layers; None if it is not a comparison."""
        if self.kind == SHUFFLED_IN_CLASS or self.kind in AT_ONE_GAP:
            return None
        return Cell(SHUFFLED_IN_CLASS, self.layers, self.dose)


@torch.inference_mode()
def try_cells(
    reader: Reader,
    group: Sequence[Window],
    with_attention: bool,
    means: dict[int, NDArray[np.float32]],
    classes: Sequence[NDArray[np.uint8]],
    cells: Sequence[Cell],
    lengths: NDArray[np.int64],
    within: tuple[float, float],
    seed: int,
) -> dict[Cell, Sums]:
    """Try each cell on a batch of windows.

    Args:
        with_attention: Whether to compare attention too.
        means: Each layer's mean increment, `[head, 1]`.
        classes: Classes of each window's tokens, `[token]`.
        lengths: Number of bytes of each token id, `[id]`.
        within: The smallest and the largest allowed increment.
        seed: Seed of all random choices; what it gives depends neither on the dose nor on the batch.
    """
    on_device = {layer: torch.from_numpy(mean).to(reader.device) for layer, mean in means.items()}
    with movable(reader.model):
        untouched = _observe(reader, group, on_device, classes, _generators(group, seed), with_attention)
        found = {}
        for cell in cells:
            generators = _generators(group, seed, tuple(REPLACEMENTS).index(cell.kind), *cell.layers)
            found[cell] = _intervene(reader, untouched, cell, lengths, within, generators)
        return found


def _generators(windows: Sequence[Window], *seed: int) -> Generators:
    return [np.random.default_rng([*seed, window.document]) for window in windows]


def _observe(
    reader: Reader,
    windows: Sequence[Window],
    means: ByLayer,
    classes: Sequence[NDArray[np.uint8]],
    generators: Generators,
    with_attention: bool,
) -> Untouched:
    """Read the windows with the model's own increments."""
    reading = _read(reader, windows, "increments", with_attention=with_attention)
    real = real_tokens(windows)
    padded = np.zeros(real.shape, dtype=np.uint8)
    for row, of_window in enumerate(classes):
        padded[row, : len(of_window)] = of_window
    # There must be tokens on both sides of the gap.
    each = zip(windows, generators, strict=True)
    gaps = np.array([generator.integers(1, max(2, len(window.tokens) - 1)) for window, generator in each])
    return Untouched(windows, real, padded, gaps, reading.increments, means, _losses(reading), reading.attention)


def _read(reader: Reader, windows: Sequence[Window], *keep: Kept, with_attention: bool) -> Reading:
    attention: tuple[Kept, ...] = ("attention",) if with_attention else ()
    return reader.read_together(windows, "losses", *keep, *attention)


def _losses(reading: Reading) -> Tensor:
    """Losses `[window, token but the first]`, in nats."""
    return reading.surprisal_nats[:, 1:].cpu()


def _intervene(
    reader: Reader,
    untouched: Untouched,
    cell: Cell,
    lengths: NDArray[np.int64],
    within: tuple[float, float],
    generators: Generators,
) -> Sums:
    """Changes by a replacement and by its controls, summed over each window."""
    replaced = REPLACEMENTS[cell.kind](untouched, cell.layers, generators)
    replaced = {layer: torch.lerp(untouched.increments[layer], new, cell.dose) for layer, new in replaced.items()}
    first = first_moved(untouched, cell.kind)
    controls = {
        "control": phase_randomised(untouched, replaced, first, within, generators),
        "opposite": opposite(untouched, replaced, first, within),
    }
    affected = untouched.real.clone()
    if cell.kind in AT_ONE_GAP:
        # Attention changes from the gap's own token on, and so do the predictions of the tokens after it.
        affected &= torch.arange(affected.shape[1]) >= torch.from_numpy(first)[:, None]
    scored = affected[:, :-1] & untouched.real[:, 1:]
    with_attention = bool(untouched.attention)
    sums = {
        "bytes": _num_bytes(untouched.windows, scored, lengths),
        "queries": affected.sum(dim=1).numpy() * with_attention,
        "change x change": _product(untouched, replaced, replaced),
        "change x opposite": _product(untouched, replaced, controls["opposite"]),
        "increments": len(replaced) * (untouched.real.sum(dim=1).numpy() - 1),
        **{f"attention_{name}": np.zeros(len(untouched.windows)) for name in ("change", "control")},
    }
    for name, increments in {"change": replaced, **controls}.items():
        displaced = np.sum([squared_displacements(untouched, *one, first) for one in increments.items()], axis=0)
        sums |= {f"{name} at lag {lag}": at_lag for lag, at_lag in zip(LAGS, displaced, strict=True)}
        watched = with_attention and name != "opposite"
        with override(reader.model, increments.get):
            reading = _read(reader, untouched.windows, with_attention=watched)
        sums[name] = ((_losses(reading) - untouched.losses).double() * scored).sum(dim=1).numpy()
        if watched:
            distances = [_total_variation(reading.attention[layer], untouched.attention[layer]) for layer in replaced]
            sums[f"attention_{name}"] = (torch.stack(distances).mean(dim=0).cpu() * affected).sum(dim=1).numpy()
    return sums


def _num_bytes(windows: Sequence[Window], scored: Tensor, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of bytes of each window's scored tokens, `[window]`."""
    of_windows = zip(windows, scored.numpy(), strict=True)
    return np.array([lengths[window.tokens[1:]][kept[: len(window.tokens) - 1]].sum() for window, kept in of_windows])


def _product(untouched: Untouched, one: ByLayer, other: ByLayer) -> NDArray[np.float64]:
    """Products of two changes of the same layers' increments, summed over layers and over each window; `[window]`."""
    return np.sum([products(untouched, layer, one[layer], other[layer]) for layer in one], axis=0)


def _total_variation(one: Tensor, other: Tensor) -> Tensor:
    """Total variation distance of attentions `[window, head, query, key]`, averaged over heads: `[window, query]`."""
    return (one - other).abs().sum(dim=-1).mean(dim=1).double() / 2


def estimates(sums: Sums, shuffle: Sums | None, seed: int) -> Row:
    """The numbers of a row, from the sums of an intervention and those of the shuffle that it is compared with."""
    change, control, opposite = (
        statistics.ratio(sums[name], sums["bytes"], seed=seed) for name in ("change", "control", "opposite")
    )
    found = {"value": change, "control": control, "beyond_control": change - control}
    found |= {"opposite": opposite, "beyond_opposite": change - opposite}
    watched = sums["queries"] > 0
    for name in ("attention_change", "attention_control"):
        distances = sums[name][watched], sums["queries"][watched]
        found[name] = statistics.ratio(*distances, seed=seed, limits=(0.0, 1.0))
    if shuffle is not None:
        found["beyond_shuffle"] = change - statistics.ratio(shuffle["change"], shuffle["bytes"], seed=seed)
    row: Row = {}
    for name, estimate in found.items():
        row |= estimate.row(name)
    squares = float(sums["change x change"].sum())
    row["moved"] = float(np.sqrt(squares / sums["increments"].sum()))
    displaced, by_control, by_opposite = (
        np.array([sums[f"{name} at lag {lag}"].sum() for lag in LAGS]) for name in ("change", "control", "opposite")
    )
    row["control_mismatch"] = mismatch(displaced, by_control)
    if row["control_mismatch"] > MAX_MISMATCH:
        row["note"] = f"the control does not match: its displacement differs by more than {MAX_MISMATCH:.0%}"
    row["opposite_share"] = -float(sums["change x opposite"].sum()) / squares if squares else None
    allowed = not squares or row["opposite_share"] >= MIN_SHARE
    if not allowed or mismatch(displaced, by_opposite) > MAX_MISMATCH:
        row |= dict.fromkeys([*statistics.columns_of("opposite"), *statistics.columns_of("beyond_opposite")])
    return row | {"num_bytes": int(sums["bytes"].sum())}

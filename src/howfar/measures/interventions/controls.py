"""A control for interventions: it displaces tokens by as much as the intervention does, but at random places.

The cost of changed increments depends on how far they displace tokens from each other. Changes of one sign over a
hundred tokens add up to a larger displacement than changes that alternate. So the control's change has the spectrum of
the intervention's change and random phases: steps of the same size, and the same displacement at every lag. Increments
stay within their bound.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.measures.interventions.replacements import ByLayer, Untouched
from howfar.positions import IncrementConfig
from howfar.positions.bounds import bound_of

Array = NDArray[np.float64]

LAGS = (1, 4, 16, 64)
"""Distances in tokens at which displacements are compared."""
MAX_MISMATCH = 0.1
"""The largest relative difference between a matched control's displacements and the replacement's."""
_NUM_ROUNDS = 100


def range_of(config: IncrementConfig) -> tuple[float, float]:
    """The smallest and the largest increment that the model's bound allows."""
    return bound_of(config).limits


def phase_randomised(
    untouched: Untouched, replaced: ByLayer, within: tuple[float, float], generator: np.random.Generator
) -> ByLayer:
    """The layers' own increments plus a random change with the spectrum of the replacement's change.

    Random phases are drawn for each window. The change is clipped to the bound and projected back on its spectrum,
    alternately. The first token's increment, which only shifts the origin, stays.

    Args:
        untouched: The windows.
        replaced: The increments of the replacement.
        within: The smallest and the largest allowed increment.
        generator: Draws the phases.

    Returns:
        The control's increments of each replaced layer, `[window, head, token]`.

    Source:
        Theiler et al. 1992, "Testing for nonlinearity in time series: the method of surrogate data"; Schreiber &
        Schmitz 1996, "Improved surrogate data for nonlinearity tests" (alternating projections).
    """
    controls = {}
    for layer, new in replaced.items():
        own = untouched.increments[layer]
        before, after = (side.detach().double().cpu().numpy() for side in (own, new))
        moved = before.copy()
        for row, size in enumerate(untouched.real.sum(dim=1).tolist()):
            inner = before[row, :, 1:size]
            moved[row, :, 1:size] += _surrogate(inner, after[row, :, 1:size] - inner, within, generator)
        controls[layer] = torch.from_numpy(moved).to(own)
    return controls


def squared_displacements(untouched: Untouched, layer: int, new: Tensor) -> Array:
    """Squared change of the distance of tokens at each lag, averaged over heads and summed over tokens.

    Returns:
        `[lag, window]`, in squared positions.
    """
    move = (new - untouched.increments[layer]).detach().double().cpu().numpy()
    sums = np.zeros((len(LAGS), len(move)))
    for row, size in enumerate(untouched.real.sum(dim=1).tolist()):
        path = np.cumsum(move[row, :, :size], axis=-1)  # from the first token, whose increment stays
        for place, lag in enumerate(LAGS):
            if lag < size:
                sums[place, row] = np.square(path[:, lag:] - path[:, :-lag]).sum(axis=-1).mean()
    return sums


def mismatch(replacement: Array, control: Array) -> float:
    """The largest relative difference over lags between two root mean square displacements.

    Args:
        replacement: The replacement's sums of squared displacements, `[lag]`.
        control: The control's, `[lag]`.
    """
    moving = replacement > 0
    return float(np.abs(np.sqrt(control[moving] / replacement[moving]) - 1).max(initial=0.0))


def _surrogate(own: Array, move: Array, within: tuple[float, float], generator: np.random.Generator) -> Array:
    """A random change `[head, token]` with the spectrum of `move` that keeps increments within their bound."""
    size = move.shape[-1]
    spectrum = np.abs(np.fft.rfft(move))
    phases = np.exp(2j * np.pi * generator.random(spectrum.shape))
    phases[..., 0] = generator.choice([-1, 1], size=spectrum.shape[:-1])
    change = np.fft.irfft(spectrum * phases, size)
    for _ in range(_NUM_ROUNDS):
        found = np.fft.rfft(np.clip(own + change, *within) - own)
        change = np.fft.irfft(spectrum * found / np.maximum(np.abs(found), 1e-12), size)
    return np.asarray(np.clip(own + change, *within) - own)

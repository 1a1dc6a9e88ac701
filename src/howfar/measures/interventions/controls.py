"""A control that moves tokens as an intervention does, and tells nothing of what it took away.

How much a change of increments costs depends on how far it displaces tokens from each other, near and far: one that
goes on in one direction for a hundred tokens displaces more than one that goes to and fro by as much. So the control
has the same spectrum as the change, with random phases: steps of the same size, and the same displacement at every lag.
Increments stay within their bound.
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
"""Tokens apart, at which displacements are compared."""
MOST_MISMATCH = 0.1
"""The most that displacements of a matched control differ from the replacement's, as a share."""
_NUM_ROUNDS = 100


def range_of(config: IncrementConfig) -> tuple[float, float]:
    """Between what increments can lie."""
    return bound_of(config).limits


def phase_randomised(
    untouched: Untouched, replaced: ByLayer, within: tuple[float, float], generator: np.random.Generator
) -> ByLayer:
    """The layers' own increments, changed by as much as a replacement changes them at every lag, at random places.

    Random phases are drawn for each window; the change is cut to the bound and given its spectrum back by turns. The
    first token's increment, which only shifts the origin, stays.

    Args:
        untouched: The windows.
        replaced: What a replacement gives.
        within: The bound of increments.
        generator: Of the phases.

    Source:
        Theiler et al. 1992, "Testing for nonlinearity in time series: the method of surrogate data"; Schreiber &
        Schmitz 1996, "Improved surrogate data for nonlinearity tests" (projection by turns).
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
    """Of each window: sums of how far tokens some lag apart are displaced, squared, means of heads; `[lag, window]`."""
    move = (new - untouched.increments[layer]).detach().double().cpu().numpy()
    sums = np.zeros((len(LAGS), len(move)))
    for row, size in enumerate(untouched.real.sum(dim=1).tolist()):
        path = np.cumsum(move[row, :, :size], axis=-1)  # from the first token, whose increment stays
        for place, lag in enumerate(LAGS):
            if lag < size:
                sums[place, row] = np.square(path[:, lag:] - path[:, :-lag]).sum(axis=-1).mean()
    return sums


def mismatch(replacement: Array, control: Array) -> float:
    """The largest share by which a control displaces more or less than a replacement, over lags.

    Args:
        replacement: `[lag]`, sums of squared displacements.
        control: Likewise.
    """
    moving = replacement > 0
    return float(np.abs(np.sqrt(control[moving] / replacement[moving]) - 1).max(initial=0.0))


def _surrogate(own: Array, move: Array, within: tuple[float, float], generator: np.random.Generator) -> Array:
    """A change `[head, token]` with the spectrum of another one, which leaves increments within their bound."""
    size = move.shape[-1]
    spectrum = np.abs(np.fft.rfft(move))
    turned = np.exp(2j * np.pi * generator.random(spectrum.shape))
    turned[..., 0] = generator.choice([-1, 1], size=spectrum.shape[:-1])
    change = np.fft.irfft(spectrum * turned, size)
    for _ in range(_NUM_ROUNDS):
        found = np.fft.rfft(np.clip(own + change, *within) - own)
        change = np.fft.irfft(spectrum * found / np.maximum(np.abs(found), 1e-12), size)
    return np.asarray(np.clip(own + change, *within) - own)

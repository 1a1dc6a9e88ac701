"""Controls for interventions: they displace tokens by as much, but at random places or the opposite way.

The cost of changed increments depends on how far they displace tokens from each other. Changes of one sign over a
hundred tokens add up to a larger displacement than changes that alternate. So a control's change has the spectrum of
the intervention's change: steps of the same size, and the same displacement at every lag. Its phases are random, or
those of the opposite change. Where only one gap is changed, tokens before it see nothing of it: there the
control changes increments from the gap on. The change is clipped to the increments' bound and projected back on its
spectrum, alternately. The first token's increment, which only shifts the origin, stays, and counts in no displacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.measures.interventions.replacements import ByLayer, Generators, Untouched

Array = NDArray[np.float64]

LAGS = (1, 4, 16, 64)
"""Distances in tokens at which displacements are compared."""
_NUM_ROUNDS = 100


def phase_randomised(
    untouched: Untouched,
    replaced: ByLayer,
    first: NDArray[np.int64],
    within: tuple[float, float],
    generators: Generators,
) -> ByLayer:
    """The layers' own increments plus a change with the spectrum of the replacement's and random phases in each window.

    Args:
        untouched: The windows.
        replaced: Their replaced increments.
        first: The first token of each window that the replacement may move, at least 1; `[window]`.
        within: The smallest and the largest allowed increment.
        generators: One for each window; they draw the phases.

    Source:
        Theiler et al. 1992, "Testing for nonlinearity in time series: the method of surrogate data"; Schreiber &
        Schmitz 1996, "Improved surrogate data for nonlinearity tests" (alternating projections).
    """
    starts = [partial(_with_random_phases, generator=generator) for generator in generators]
    return _controls(untouched, replaced, first, within, starts)


def opposite(untouched: Untouched, replaced: ByLayer, first: NDArray[np.int64], within: tuple[float, float]) -> ByLayer:
    """The layers' own increments minus the replacement's change, as far as the bound allows: what grew shrinks."""
    return _controls(untouched, replaced, first, within, [np.negative] * len(first))


def squared_displacements(untouched: Untouched, layer: int, new: Tensor, first: NDArray[np.int64]) -> Array:
    """Squared change of the distance of tokens at each lag, averaged over heads and summed over tokens.

    Args:
        untouched: The windows.
        layer: The layer.
        new: Its new increments.
        first: The first token of each window that counts, as the later of two; `[window]`.

    Returns:
        `[lag, window]`, in squared positions.
    """
    move = (new - untouched.increments[layer]).detach().double().cpu().numpy()
    sums = np.zeros((len(LAGS), len(move)))
    for row, size in enumerate(untouched.real.sum(dim=1).tolist()):
        path = np.cumsum(move[row, :, :size], axis=-1)  # from the first token, whose increment stays
        for place, lag in enumerate(LAGS):
            start = max(lag, int(first[row]))
            if start < size:
                squares = np.square(path[:, start:] - path[:, start - lag : size - lag])
                sums[place, row] = squares.sum(axis=-1).mean()
    return sums


def products(untouched: Untouched, layer: int, one: Tensor, other: Tensor) -> Array:
    """Products of two changes of a layer's increments, averaged over heads and summed over the tokens of each window.

    Returns:
        `[window]`, in squared positions.
    """
    own = untouched.increments[layer]
    both = ((one - own).double() * (other - own).double()).mean(dim=1).cpu()
    return np.asarray((both * untouched.real)[:, 1:].sum(dim=1))


def mismatch(replacement: Array, control: Array) -> float:
    """The largest relative difference of root mean square displacements, from their sums of squares `[lag]`."""
    moving = replacement > 0
    return float(np.abs(np.sqrt(control[moving] / replacement[moving]) - 1).max(initial=0.0))


def _controls(
    untouched: Untouched,
    replaced: ByLayer,
    first: NDArray[np.int64],
    within: tuple[float, float],
    starts: Sequence[Callable[[Array], Array]],
) -> ByLayer:
    """Own increments plus changes; each window's `start` makes them from the replacement's `[head, token]`."""
    controls = {}
    for layer, new in replaced.items():
        own = untouched.increments[layer]
        before, after = (side.detach().double().cpu().numpy() for side in (own, new))
        moved = before.copy()
        for row, (size, start) in enumerate(zip(untouched.real.sum(dim=1).tolist(), starts, strict=True)):
            moving = slice(int(first[row]), size)
            inner = before[row, :, moving]
            move = after[row, :, moving] - inner
            moved[row, :, moving] += _fitted(inner, start(move), np.abs(np.fft.rfft(move)), within)
        controls[layer] = torch.from_numpy(moved).to(own)
    return controls


def _with_random_phases(move: Array, generator: np.random.Generator) -> Array:
    spectrum = np.abs(np.fft.rfft(move))
    phases = np.exp(2j * np.pi * generator.random(spectrum.shape))
    phases[..., 0] = generator.choice([-1, 1], size=spectrum.shape[:-1])
    if move.shape[-1] % 2 == 0:  # the highest frequency of an even number of tokens is real
        phases[..., -1] = np.sign(phases[..., -1].real)
    return np.fft.irfft(spectrum * phases, move.shape[-1])


def _fitted(own: Array, change: Array, spectrum: Array, within: tuple[float, float]) -> Array:
    """The change `[head, token]`, altered to keep increments within their bound, and its spectrum nearly as it is."""
    for _ in range(_NUM_ROUNDS):
        moved = own + change
        kept = np.clip(moved, *within)
        if np.array_equal(kept, moved):
            break
        found = np.fft.rfft(kept - own)
        change = np.fft.irfft(spectrum * found / np.maximum(np.abs(found), 1e-12), change.shape[-1])
    return np.asarray(np.clip(own + change, *within) - own)

"""What interventions put in place of a layer's increments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.positions.shapes import Bool, Float
from howfar.reading.windows import Window

ByLayer = dict[int, Tensor]
"""By decoder layer, `[window, head, token]` where nothing else is said."""


@dataclass(frozen=True)
class Untouched:
    """Some windows, and what the model does with them when it is left alone.

    Attributes:
        windows: The windows, side by side.
        real: `[window, token]`, false behind a window's end.
        classes: uint8 `[window, token]`.
        gaps: `[window]`, the token whose increment is the one gap to be moved.
        increments: The layers' own, in positions.
        means: Each layer's mean increment over all windows, document marks apart; `[head, 1]`.
        losses: `[window, token but the first]`, in nats.
        attention: Weights; `[window, head, query, key]`.
    """

    windows: Sequence[Window]
    real: Bool[Tensor, "window token"]
    classes: NDArray[np.uint8]
    gaps: NDArray[np.int64]
    increments: ByLayer
    means: ByLayer
    losses: Float[Tensor, "window token_but_first"]
    attention: ByLayer


Replacement = Callable[[Untouched, tuple[int, ...], np.random.Generator], ByLayer]
"""Gives the increments that some layers get instead of their own."""


def set_to_one(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """Every token advances by 1, as in plain rotary positions."""
    return {layer: torch.ones_like(untouched.increments[layer]) for layer in layers}


def set_to_mean(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """Every token advances by its own window's mean, the document mark apart: the scale stays, the differences go.

    Texts differ in their means, languages above all, so the mean of all windows would change the scale of each.
    """
    new = {}
    for layer in layers:
        own = untouched.increments[layer]
        inner = untouched.real[:, None].to(own) * (torch.arange(own.shape[-1], device=own.device) > 0)
        means = (own * inner).sum(dim=-1, keepdim=True) / inner.sum(dim=-1, keepdim=True).clamp(min=1)
        new[layer] = torch.where(inner > 0, means, own)
    return new


def shuffle_in_class(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """Tokens of one class exchange increments within a window: what the class predicts stays."""
    return _shuffled(untouched, layers, untouched.classes, generator)


def shuffle(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """All tokens of a window exchange increments."""
    return _shuffled(untouched, layers, np.zeros_like(untouched.classes), generator)


def swap_layers(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """A layer and the next one (the last and the first) exchange increments, their scales included."""
    everyone = list(untouched.increments)
    (layer,) = layers
    other = everyone[(everyone.index(layer) + 1) % len(everyone)]
    return {layer: untouched.increments[other], other: untouched.increments[layer]}


def widen_gap(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """One token of each window advances by the layer's mean more than it did."""
    wider = {layer: untouched.increments[layer] + untouched.means[layer] for layer in layers}
    return {layer: _only_at_gaps(untouched, layer, new) for layer, new in wider.items()}


def close_gap(untouched: Untouched, layers: tuple[int, ...], generator: np.random.Generator) -> ByLayer:
    """One token of each window does not advance."""
    zeros = {layer: torch.zeros_like(untouched.increments[layer]) for layer in layers}
    return {layer: _only_at_gaps(untouched, layer, new) for layer, new in zeros.items()}


REPLACEMENTS: dict[str, Replacement] = {
    "set to one": set_to_one,
    "set to mean": set_to_mean,
    "shuffled in class": shuffle_in_class,
    "shuffled": shuffle,
    "swapped with next layer": swap_layers,
    "one gap widened": widen_gap,
    "one gap closed": close_gap,
}
"""What can be done to a layer's increments, by name."""

SHUFFLED_IN_CLASS = "shuffled in class"
AT_ONE_GAP = frozenset({"one gap widened", "one gap closed"})


def _shuffled(
    untouched: Untouched, layers: tuple[int, ...], classes: NDArray[np.uint8], generator: np.random.Generator
) -> ByLayer:
    """Exchange increments among the tokens of a class, by the same permutation in all layers; the first one stays."""
    sources = np.tile(np.arange(classes.shape[1]), (len(classes), 1))
    for row, window in enumerate(untouched.windows):
        own = classes[row, 1 : len(window.tokens)]
        for one in np.unique(own):
            members = 1 + np.flatnonzero(own == one)
            sources[row, members] = generator.permutation(members)
    index = torch.from_numpy(sources)[:, None]
    shuffled = {}
    for layer in layers:
        increments = untouched.increments[layer]
        shuffled[layer] = increments.gather(-1, index.to(increments.device).expand_as(increments))
    return shuffled


def _only_at_gaps(untouched: Untouched, layer: int, new: Tensor) -> Tensor:
    own = untouched.increments[layer]
    index = torch.from_numpy(untouched.gaps).to(own.device)[:, None, None].expand(-1, own.shape[1], 1)
    return own.scatter(-1, index, new.gather(-1, index))

"""Replacements of a layer's increments, one function per kind of intervention."""

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
"""By decoder layer; `[window, head, token]` unless stated otherwise."""


@dataclass(frozen=True)
class Untouched:
    """A batch of windows, as the model reads it without intervention."""

    windows: Sequence[Window]
    real: Bool[Tensor, "window token"]  # false at padding
    classes: NDArray[np.uint8]  # of the tokens, `[window, token]`
    gaps: NDArray[np.int64]  # `[window]`, index of the token whose increment is changed where only one gap is
    increments: ByLayer  # the layers' own, in positions
    means: ByLayer  # each layer's mean increment over all windows, without document marks; `[head, 1]`
    losses: Float[Tensor, "window token_but_first"]  # in nats
    attention: ByLayer  # weights `[window, head, query, key]`; empty if attention is not compared


Generators = Sequence[np.random.Generator]
"""One for each window, so that what is drawn for a window does not depend on the windows that are read with it."""

Replacement = Callable[[Untouched, tuple[int, ...], Generators], ByLayer]
"""From the untouched windows, the layers to change and random generators to the new increments of these layers."""


def set_to_one(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """Every token advances by 1, as in plain rotary positions."""
    return {layer: torch.ones_like(untouched.increments[layer]) for layer in layers}


def set_to_mean(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """Every token except the document mark advances by the mean of its window: the scale stays, differences vanish.

    The mean over all windows would change the scale of each, because texts, and above all languages, differ in it.
    """
    replaced = {}
    for layer in layers:
        increments = untouched.increments[layer]
        inner = untouched.real[:, None].to(increments)
        inner[..., 0] = 0
        means = (increments * inner).sum(dim=-1, keepdim=True) / inner.sum(dim=-1, keepdim=True).clamp(min=1)
        replaced[layer] = torch.where(inner > 0, means, increments)
    return replaced


def shuffle_in_class(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """Increments are permuted among the tokens of a class within a window: what the class predicts stays."""
    return _shuffled(untouched, layers, untouched.classes, generators)


def shuffle(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """Increments are permuted among all tokens of a window."""
    return _shuffled(untouched, layers, np.zeros_like(untouched.classes), generators)


def swap_layers(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """Two layers swap their increments, with their scale."""
    layer, other = layers
    return {layer: untouched.increments[other], other: untouched.increments[layer]}


def widen_gap(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """The increment of one token of each window grows by the layer's mean increment."""
    means = untouched.means
    return {layer: _only_at_gaps(untouched, layer, untouched.increments[layer] + means[layer]) for layer in layers}


def close_gap(untouched: Untouched, layers: tuple[int, ...], generators: Generators) -> ByLayer:
    """The increment of one token of each window is 0."""
    return {layer: _only_at_gaps(untouched, layer, torch.zeros_like(untouched.increments[layer])) for layer in layers}


REPLACEMENTS: dict[str, Replacement] = {
    "set to one": set_to_one,
    "set to mean": set_to_mean,
    "shuffled in class": shuffle_in_class,
    "shuffled": shuffle,
    "swapped with next layer": swap_layers,
    "one gap widened": widen_gap,
    "one gap closed": close_gap,
}
"""Kinds of intervention, by name."""

SHUFFLED_IN_CLASS = "shuffled in class"
SWAPPED = "swapped with next layer"
AT_ONE_GAP = frozenset({"one gap widened", "one gap closed"})


def first_moved(untouched: Untouched, kind: str) -> NDArray[np.int64]:
    """The first token of each window that an intervention may move relative to others before it; `[window]`."""
    return untouched.gaps if kind in AT_ONE_GAP else np.ones_like(untouched.gaps)


def changed_layers(kind: str, layer: int, every: tuple[int, ...]) -> tuple[int, ...]:
    """The layers that an intervention in a layer changes; a swap changes the next one too, after the last the first."""
    if kind != SWAPPED or len(every) == 1:
        return (layer,)
    return layer, every[(every.index(layer) + 1) % len(every)]


def _shuffled(
    untouched: Untouched, layers: tuple[int, ...], classes: NDArray[np.uint8], generators: Generators
) -> ByLayer:
    """Permute increments among the tokens of a class, the same way in all layers; the first token's increment stays."""
    sources = np.tile(np.arange(classes.shape[1]), (len(classes), 1))
    for row, (window, generator) in enumerate(zip(untouched.windows, generators, strict=True)):
        of_tokens = classes[row, 1 : len(window.tokens)]
        for of_class in np.unique(of_tokens):
            members = 1 + np.flatnonzero(of_tokens == of_class)
            sources[row, members] = generator.permutation(members)
    index = torch.from_numpy(sources)[:, None]
    shuffled = {}
    for layer in layers:
        increments = untouched.increments[layer]
        shuffled[layer] = increments.gather(-1, index.to(increments.device).expand_as(increments))
    return shuffled


def _only_at_gaps(untouched: Untouched, layer: int, new: Tensor) -> Tensor:
    """The layer's own increments, with the new ones only at each window's gap."""
    increments = untouched.increments[layer]
    index = torch.from_numpy(untouched.gaps).to(increments.device)[:, None, None].expand(-1, increments.shape[1], 1)
    return increments.scatter(-1, index, new.gather(-1, index))

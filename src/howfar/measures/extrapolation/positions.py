"""Contexts that are as long in positions, and steps of the same size in random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.positions import override
from howfar.reading.reader import Reader
from howfar.reading.readings import Reading
from howfar.reading.windows import Window

Array = NDArray[np.float64]


def spans(reading: Reading) -> list[Array]:
    """How far each window advances from each token on, that one's own step included; `[token]`, in positions.

    It is that of the layer and head that step farthest: there a window goes beyond what training had first.
    """
    stacked = torch.cat([own.double() for own in reading.increments.values()], dim=1).cpu().numpy()
    found = []
    for row, window in enumerate(reading.windows):
        found.append(np.cumsum(stacked[row, :, len(window) - 1 :: -1], axis=1)[:, ::-1].max(axis=0))
    return found


def spans_of(reader: Reader, windows: Sequence[Window]) -> list[Array]:
    """The spans of windows, in their order."""
    found = [np.empty(0)] * len(windows)
    numbered = [Window(number, window.tokens) for number, window in enumerate(windows)]
    for reading in reader.read(numbered, "increments"):
        for window, span in zip(reading.windows, spans(reading), strict=True):
            found[window.document] = span
    return found


def matched(windows: Sequence[Window], known: Sequence[Array], positions: float, least: int) -> Iterator[Window | None]:
    """The ends of windows that span so many positions; None where a whole window does not.

    Args:
        windows: The longest ones.
        known: Their spans.
        positions: How many.
        least: The fewest tokens of an end.
    """
    for number, (window, span) in enumerate(zip(windows, known, strict=True)):
        reaching = np.flatnonzero(span >= positions)
        if not len(reaching):
            yield None
            continue
        start = min(int(reaching[-1]), len(window) - least)
        yield Window(number, window.tokens[start:])


def in_random_order(reader: Reader, seed: int) -> AbstractContextManager[None]:
    """Every layer's increments stand at other tokens of their window, in the same order in all windows of a batch.

    Positions still add up, by steps of the same size, which say nothing of the text. Layers that share their increments
    go on sharing them.
    """
    if reader.config is None:
        return nullcontext()
    is_shared = reader.config.scope == "shared"

    def exchanged(layer: int, increments: Tensor) -> Tensor:
        generator = np.random.default_rng([seed, 0 if is_shared else layer, increments.shape[-1]])
        order = torch.from_numpy(generator.permutation(increments.shape[-1])).to(increments.device)
        return increments[..., order]

    return override(reader.model, exchanged)

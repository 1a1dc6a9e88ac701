"""Contexts matched by the positions that they span, and increments in random order."""

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
    """Positions that each window spans from each token to its end, including the token's own step; `[token]`.

    This is the maximum over layers and heads, because there a window first exceeds the positions of training.
    """
    stacked = torch.cat([of_layer.double() for of_layer in reading.increments.values()], dim=1).cpu().numpy()
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
    """Cut windows at the beginning, so that they span a number of positions; None for a window that is too short.

    Args:
        windows: The windows of the largest context.
        known: Their spans.
        positions: How many positions to span.
        least: The fewest tokens to keep.
    """
    for number, (window, span) in enumerate(zip(windows, known, strict=True)):
        reaching = np.flatnonzero(span >= positions)
        if not len(reaching):
            yield None
            continue
        start = min(int(reaching[-1]), len(window) - least)
        yield Window(number, window.tokens[start:])


def in_random_order(reader: Reader, seed: int) -> AbstractContextManager[None]:
    """Permute every layer's increments among the tokens of a window, in the same way in all windows of a batch.

    Positions still accumulate, by the same steps, which no longer tell anything about the text. The first token's step
    stays: it moves all tokens alike, and elsewhere it would be a gap. Layers that share increments get the same
    permutation.
    """
    if reader.config is None:
        return nullcontext()
    is_shared = reader.config.scope == "shared"

    def permuted(layer: int, increments: Tensor) -> Tensor:
        generator = np.random.default_rng([seed, 0 if is_shared else layer, increments.shape[-1]])
        order = np.append(0, 1 + generator.permutation(increments.shape[-1] - 1))
        return increments[..., torch.from_numpy(order).to(increments.device)]

    return override(reader.model, permuted)

"""Sums of increments by class of token and by document, from which means, spreads and intervals are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[float, float]
"""Increments below the first or above the second value count as at a bound."""

SATURATED = 0.5
"""A class counts as saturated if at least this share of its tokens is at one bound."""


@dataclass(frozen=True)
class Spread:
    """Sums and range of groups of increments; all attributes have the same shape, one entry per group.

    Attributes:
        counts: Number of tokens.
        sums: Sum of the increments, in positions.
        squares: Sum of the squared increments.
        at_zero: Number of tokens at the lower bound.
        at_maximum: Number of tokens at the upper bound.
        lowest: Lowest increment.
        highest: Highest increment.
    """

    counts: Array
    sums: Array
    squares: Array
    at_zero: Array
    at_maximum: Array
    lowest: Array
    highest: Array

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Spread:
        """Groups without tokens; lowest and highest are infinite."""
        counts, sums, squares, at_zero, at_maximum = np.zeros((5, *shape))
        return cls(counts, sums, squares, at_zero, at_maximum, np.full(shape, np.inf), np.full(shape, -np.inf))

    @classmethod
    def of(cls, values: Array, bounds: Bounds) -> Spread:
        """The spread of increments `[..., token]` over the tokens."""
        return cls(
            np.full(values.shape[:-1], values.shape[-1], dtype=np.float64),
            values.sum(axis=-1),
            np.square(values).sum(axis=-1),
            (values < bounds[0]).sum(axis=-1).astype(np.float64),
            (values > bounds[1]).sum(axis=-1).astype(np.float64),
            values.min(axis=-1),
            values.max(axis=-1),
        )

    def add(self, place: int, other: Spread) -> None:
        """Add tokens at an index of the last axis."""
        for own, more in ((self.counts, other.counts), (self.sums, other.sums), (self.squares, other.squares)):
            own[..., place] += more
        self.at_zero[..., place] += other.at_zero
        self.at_maximum[..., place] += other.at_maximum
        self.lowest[..., place] = np.minimum(self.lowest[..., place], other.lowest)
        self.highest[..., place] = np.maximum(self.highest[..., place], other.highest)

    @property
    def together(self) -> Spread:
        """The spread over all groups of the last axis."""
        return Spread(
            self.counts.sum(axis=-1),
            self.sums.sum(axis=-1),
            self.squares.sum(axis=-1),
            self.at_zero.sum(axis=-1),
            self.at_maximum.sum(axis=-1),
            self.lowest.min(axis=-1),
            self.highest.max(axis=-1),
        )

    @property
    def mean(self) -> Array:
        """Mean over tokens; NaN for a group without tokens."""
        with np.errstate(invalid="ignore"):
            return self.sums / self.counts

    @property
    def sd(self) -> Array:
        """Standard deviation over tokens; NaN for a group without tokens."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.maximum(self.squares / self.counts - np.square(self.mean), 0.0)))

    def row(self, index: tuple[int, ...]) -> dict[str, Any]:
        """The columns of one group in a table."""
        num_tokens = float(self.counts[index])
        at_zero, at_maximum = (float(counts[index]) / num_tokens for counts in (self.at_zero, self.at_maximum))
        return {
            "sd": float(self.sd[index]),
            "lowest": float(self.lowest[index]),
            "highest": float(self.highest[index]),
            "share_at_zero": at_zero,
            "share_at_maximum": at_maximum,
            "saturated": max(at_zero, at_maximum) >= SATURATED,
            "num_tokens": int(num_tokens),
        }


@dataclass(frozen=True)
class ClassSums:
    """Sums over the tokens of each class: document by document, and their spread over all documents.

    Attributes:
        counts: Number of tokens, `[class, document]`.
        sums: Sum of increments, `[layer, head, class, document]`.
        by_class: Spread over all documents, `[layer, head, class]`.
    """

    counts: Array
    sums: Array
    by_class: Spread

    @classmethod
    def none(cls, num_layers: int, num_heads: int, num_classes: int, num_documents: int) -> ClassSums:
        """Sums over no tokens."""
        shape = (num_layers, num_heads, num_classes)
        return cls(np.zeros((num_classes, num_documents)), np.zeros((*shape, num_documents)), Spread.none(shape))

    def add(self, values: Array, classes: NDArray[np.uint8], document: int, bounds: Bounds) -> None:
        """Add tokens of a document.

        Args:
            values: Their increments, `[layer, head, token]`.
            classes: Their classes, `[token]`.
            document: The document's number.
            bounds: The values from which an increment counts as at a bound.
        """
        for of_class in np.unique(classes).tolist():
            spread = Spread.of(values[..., classes == of_class], bounds)
            self.counts[of_class, document] += spread.counts.flat[0]
            self.sums[..., of_class, document] += spread.sums
            self.by_class.add(of_class, spread)

"""Words as runs between gaps, and how many of them a choice of gaps gets right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from howfar.measures.boundaries.gaps import Gaps
from howfar.text.segmentation import Segmentation

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

Objective = Literal["boundary", "word"]
"""What a threshold is to make largest: the F1 of boundaries, or that of whole words."""


@dataclass(frozen=True)
class Words:
    """The words that scored gaps decide about.

    A boundary at a gap that is not scored is given to everyone, and so is that there is none. A word that touches no
    scored gap, at its edges or inside, is left out.

    Attributes:
        is_boundary: bool `[gap]`.
        gap_documents: `[gap]`.
        start: `[word]`, the gap at which a word begins; -1 where its beginning is given.
        stop: `[word]`, the gap at which it ends, likewise.
        first: `[word]`, the first gap inside it.
        last: `[word]`, the gap behind the last one inside it; `first` where none is inside.
        documents: `[word]`.
        num_given: `[document]`, how many more words than boundaries any choice of gaps makes.
    """

    is_boundary: NDArray[np.bool_]
    gap_documents: Numbers
    start: Numbers
    stop: Numbers
    first: Numbers
    last: Numbers
    documents: Numbers
    num_given: Numbers

    @classmethod
    def of(cls, gaps: Gaps, segmentations: Sequence[Segmentation]) -> Words:
        """The words of the documents of some gaps.

        Args:
            gaps: The scored gaps.
            segmentations: The documents that `gaps.documents` counts.
        """
        lengths = np.array([len(document.text) + 1 for document in segmentations])
        begins = np.cumsum(lengths) - lengths  # where each document begins, all of them strung together
        edges = np.concatenate(
            [
                begin + np.array([0, *document.boundaries, len(document.text)])
                for begin, document in zip(begins, segmentations, strict=True)
            ]
        )
        documents = np.repeat(np.arange(len(segmentations)), [len(own.boundaries) + 2 for own in segmentations])
        is_word = documents[1:] == documents[:-1]
        begin, end, documents = edges[:-1][is_word], edges[1:][is_word], documents[1:][is_word]
        places = begins[gaps.documents] + gaps.characters
        first, last = np.searchsorted(places, begin, "right"), np.searchsorted(places, end, "left")
        start, stop = _gap_at(places, begin), _gap_at(places, end)
        kept = (first < last) | (start >= 0) | (stop >= 0)
        start, stop, first, last, documents = (own[kept] for own in (start, stop, first, last, documents))
        num = len(segmentations)
        num_boundaries = np.bincount(gaps.documents, gaps.is_boundary, num).astype(np.int64)
        num_given = np.bincount(documents, minlength=num) - num_boundaries
        return cls(gaps.is_boundary, gaps.documents, start, stop, first, last, documents, num_given)

    def counts(self, chances: Array) -> dict[str, NDArray[Any]]:
        """What a choice of gaps gets right, by document.

        Args:
            chances: `[gap]`, how likely a boundary is put there: 0 or 1 where that is decided. Counts are expectations.

        Returns:
            For boundaries and words, each `[document]`: `right`, `found` (by the choice) and `true` ones.
        """
        num = len(self.num_given)
        found, true = (np.bincount(self.gap_documents, own, num) for own in (chances, self.is_boundary))
        right = np.bincount(self.gap_documents, chances * self.is_boundary, num)
        edges = np.append(chances, 1.0)  # -1: what is given is there
        whole = edges[self.start] * edges[self.stop] * self._inside(np.multiply, 1.0 - chances, 1.0)
        return {
            "boundary right": right,
            "boundary found": found,
            "boundary true": true,
            "word right": np.bincount(self.documents, whole, num),
            "word found": found + self.num_given,
            "word true": true + self.num_given,
        }

    def between(self, scores: Array) -> tuple[Array, Array]:
        """The thresholds at which each word is whole: above `low` (what is inside), up to `high` (its edges)."""
        edges = np.append(scores, np.inf)
        return self._inside(np.maximum, scores, -np.inf), np.minimum(edges[self.start], edges[self.stop])

    def _inside(self, combine: np.ufunc, values: Array, nothing: float) -> Array:
        """Combine the values of the gaps inside each word; `[word]`."""
        result = np.full(len(self.first), nothing)
        some = self.first < self.last
        if some.any():
            ends = np.stack([self.first[some], self.last[some]], axis=1).ravel()
            result[some] = combine.reduceat(np.append(values, nothing), ends)[::2]
        return result


def best_threshold(
    words: Words, scores: Array, objective: Objective, documents: NDArray[np.bool_], between: tuple[Array, Array]
) -> tuple[float, float]:
    """The threshold with the largest F1 in some documents: a boundary stands where a score reaches it.

    Args:
        words: Of all documents.
        scores: `[gap]`.
        objective: Which F1.
        documents: `[document]`, which to look at.
        between: From `words.between(scores)`.

    Returns:
        The threshold, halfway to the next lower score, and its F1.
    """
    seen = documents[words.gap_documents]
    order = np.argsort(-scores[seen])
    ranked, labels = scores[seen][order], words.is_boundary[seen][order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of those that score the same
    # The first threshold is above all scores.
    thresholds, found = np.append(np.inf, ranked[last]), np.append(0, last + 1)
    if objective == "boundary":
        right, true = np.append(0, np.cumsum(labels)[last]), int(labels.sum())
    else:
        given = int(words.num_given[documents].sum())
        own = documents[words.documents]
        low, high = (ends[own] for ends in between)
        can_be = low < high
        below_low, below_high = (np.searchsorted(np.sort(ends[can_be]), thresholds) for ends in (low, high))
        right, true = below_low - below_high, given + int(labels.sum())
        found = found + given
    f1 = 2 * right / np.maximum(found + true, 1)
    best = int(np.argmax(f1))
    if best == 0:
        return np.inf, float(f1[0])
    lower = thresholds[best + 1] if best + 1 < len(thresholds) else -np.inf
    return (thresholds[best] + lower) / 2, float(f1[best])


def _gap_at(places: Numbers, wanted: Numbers) -> Numbers:
    """The gap at each place; -1 where none is scored there."""
    found = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return np.where(places[found] == wanted, found, -1)

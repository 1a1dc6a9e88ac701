"""Words as spans between gaps, and how many of them a choice of boundaries gets right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from howfar.measures.boundaries.gaps import Gaps

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

Objective = Literal["boundary", "word"]
"""What a threshold maximises: the F1 of boundaries, or that of whole words."""


@dataclass(frozen=True)
class Words:
    """The words that depend on decisions at scored gaps.

    At a gap that is not scored, the gold decision is given to all contestants. A word without a scored gap at its edges
    or inside is left out.
    """

    is_boundary: NDArray[np.bool_]  # whether each gap is a gold boundary, `[gap]`
    gap_documents: Integers  # the document of each gap, `[gap]`
    start: Integers  # `[word]`, the gap at which a word begins; -1 if its beginning is given
    stop: Integers  # `[word]`, the gap at which it ends; -1 if its end is given
    first: Integers  # `[word]`, the first gap inside it
    last: Integers  # `[word]`, the gap after the last one inside it; equal to `first` if none is inside
    documents: Integers  # the document of each word, `[word]`
    num_given: Integers  # `[document]`, number of words minus number of boundaries, which is the same for any choice

    @classmethod
    def of(cls, gaps: Gaps) -> Words:
        """The words of the texts of some gaps."""
        segmentations = gaps.segmentations
        lengths = np.array([len(one.text) + 1 for one in segmentations])
        begins = np.cumsum(lengths) - lengths  # the start of each text in their concatenation
        edges = np.concatenate(
            [
                begin + np.array([0, *one.boundaries, len(one.text)])
                for begin, one in zip(begins, segmentations, strict=True)
            ]
        )
        texts = np.repeat(np.arange(len(segmentations)), [len(one.boundaries) + 2 for one in segmentations])
        is_word = texts[1:] == texts[:-1]
        begin, end = edges[:-1][is_word], edges[1:][is_word]
        documents = np.array(gaps.document_of_text)[texts[1:][is_word]]
        places = begins[gaps.texts] + gaps.characters
        first, last = np.searchsorted(places, begin, "right"), np.searchsorted(places, end, "left")
        start, stop = _gap_at(places, begin), _gap_at(places, end)
        kept = (first < last) | (start >= 0) | (stop >= 0)
        start, stop, first, last, documents = (of_all[kept] for of_all in (start, stop, first, last, documents))
        num = 1 + gaps.document_of_text[-1]
        num_boundaries = np.bincount(gaps.documents, gaps.is_boundary, num).astype(np.int64)
        num_given = np.bincount(documents, minlength=num) - num_boundaries
        return cls(gaps.is_boundary, gaps.documents, start, stop, first, last, documents, num_given)

    def counts(self, probabilities: Array) -> dict[str, NDArray[Any]]:
        """Count right boundaries and words by document.

        Args:
            probabilities: `[gap]`, the probability of a boundary, 0 or 1 if it is decided. Counts are expected values.

        Returns:
            For boundaries and words, each `[document]`: the `found` ones, the `true` ones, and those that are `right`.
        """
        num = len(self.num_given)
        found, true = (np.bincount(self.gap_documents, gaps, num) for gaps in (probabilities, self.is_boundary))
        right = np.bincount(self.gap_documents, probabilities * self.is_boundary, num)
        edges = np.append(probabilities, 1.0)  # index -1: a given edge
        whole = edges[self.start] * edges[self.stop] * self._inside(np.multiply, 1.0 - probabilities, 1.0)
        return {
            "boundary right": right,
            "boundary found": found,
            "boundary true": true,
            "word right": np.bincount(self.documents, whole, num),
            "word found": found + self.num_given,
            "word true": true + self.num_given,
        }

    def threshold_ranges(self, scores: Array) -> tuple[Array, Array]:
        """The thresholds that get each word right: above the scores inside it, up to those of its edges; `[word]`."""
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
    words: Words, scores: Array, objective: Objective, documents: NDArray[np.bool_], ranges: tuple[Array, Array]
) -> tuple[float, float]:
    """The threshold with the largest F1 in some documents; gaps whose score reaches it are boundaries.

    Args:
        objective: Which F1 to maximise.
        documents: bool `[document]`, the documents to use.
        ranges: From `words.threshold_ranges(scores)`.

    Returns:
        The threshold, halfway between two scores, and its F1.
    """
    seen = documents[words.gap_documents]
    order = np.argsort(-scores[seen])
    ranked, labels = scores[seen][order], words.is_boundary[seen][order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last of each run of equal scores
    # The first threshold is above all scores.
    thresholds, found = np.append(np.inf, ranked[last]), np.append(0, last + 1)
    if objective == "boundary":
        right, true = np.append(0, np.cumsum(labels)[last]), int(labels.sum())
    else:
        given = int(words.num_given[documents].sum())
        in_documents = documents[words.documents]
        low, high = (ends[in_documents] for ends in ranges)
        is_possible = low < high
        below_low, below_high = (np.searchsorted(np.sort(ends[is_possible]), thresholds) for ends in (low, high))
        right, true = below_low - below_high, given + int(labels.sum())
        found = found + given
    f1 = 2 * right / np.maximum(found + true, 1)
    best = int(np.argmax(f1))
    if best == 0:
        return np.inf, float(f1[0])
    lower = thresholds[best + 1] if best + 1 < len(thresholds) else -np.inf
    return (thresholds[best] + lower) / 2, float(f1[best])


def _gap_at(places: Integers, wanted: Integers) -> Integers:
    """The scored gap at each place; -1 where there is none."""
    found = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    return np.where(places[found] == wanted, found, -1)

"""From scores to boundaries: layer, direction and threshold are chosen on other folds of documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from howfar.measures.segmentation.words import Array, Objective, Words, best_threshold
from howfar.measures.statistics import check_labels, divide


@dataclass(frozen=True)
class Folds:
    """Folds of the documents: each is segmented by what was chosen on the others."""

    of_document: NDArray[np.int64]  # the fold of each document, `[document]`
    of_gap: NDArray[np.int64]  # the fold of each gap, `[gap]`
    num: int

    @classmethod
    def of(cls, words: Words) -> Folds:
        """Divide the documents.

        Raises:
            NotMeasurableError: There are too few documents, or gaps of one class only.
        """
        check_labels(words.is_boundary)
        parts, of_gap = divide(words.is_boundary, words.gap_documents)
        of_document = np.zeros(len(words.num_given), dtype=np.int64)
        of_document[words.gap_documents] = of_gap
        return cls(of_document, of_gap, len(parts))

    def development(self, fold: int) -> int:
        """The fold on which the threshold is chosen for a model that segments `fold` and is fitted to the rest."""
        return (fold + 1) % self.num

    def fitted(self, fold: int) -> NDArray[np.bool_]:
        """The gaps to which a model is fitted that segments `fold`; bool `[gap]`."""
        return (self.of_gap != fold) & (self.of_gap != self.development(fold))


@dataclass(frozen=True)
class Contestant:
    """A segmenter: one or more scores of gaps, of which one is chosen, for example one layer's."""

    score: str  # its name
    choices: Sequence[Sequence[str]]  # for each fold, the names of its scores
    values: Sequence[Array]  # for each fold, the scores `[choice, gap]`, larger where a boundary is more likely
    scored_at: str | None = None  # the token whose value is the score, if it is a token's
    is_fitted: bool = False  # to `Folds.fitted`; its threshold is then chosen only on `Folds.development`


def fixed(score: str, values: Array, folds: Folds) -> Contestant:
    """A contestant with a single score, which was not fitted."""
    return several(score, [("", values)], folds)


def several(
    score: str, named: Sequence[tuple[str, Array]], folds: Folds, *, scored_at: str | None = None
) -> Contestant:
    """A contestant with several named scores, which were not fitted."""
    values = np.stack([values for _, values in named])
    return Contestant(score, [[name for name, _ in named]] * folds.num, [values] * folds.num, scored_at)


def decide(contestant: Contestant, words: Words, folds: Folds, objective: Objective) -> tuple[Array, list[int]]:
    """Place boundaries in each fold by the score and the threshold with the best F1 in other folds.

    Returns:
        `[gap]`, 1 at a boundary and 0 elsewhere; and the index of the score that was chosen for each fold.
    """
    decided = np.zeros(len(words.is_boundary))
    picked = []
    ranges = {}
    for fold in range(folds.num):
        seen = folds.of_document != fold
        if contestant.is_fitted:
            seen = folds.of_document == folds.development(fold)
        best = (-1.0, 0, np.inf)
        for choice, scores in enumerate(contestant.values[fold]):
            key = choice, fold if contestant.is_fitted else 0
            if key not in ranges:
                ranges[key] = words.threshold_ranges(scores)
            threshold, f1 = best_threshold(words, scores, objective, seen, ranges[key])
            best = max(best, (f1, -choice, threshold))
        in_fold = folds.of_gap == fold
        decided[in_fold] = contestant.values[fold][-best[1]][in_fold] >= best[2]
        picked.append(-best[1])
    return decided, picked


def chosen_names(contestant: Contestant, picked: Sequence[int]) -> str | None:
    """The chosen scores, each with the number of folds; None if there was nothing to choose."""
    names = Counter(contestant.choices[fold][choice] for fold, choice in enumerate(picked))
    if set(names) == {""}:
        return None
    return ", ".join(f"{name} ({times} of {len(picked)})" for name, times in names.most_common())

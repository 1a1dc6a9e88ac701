"""From scores to boundaries: layer, direction and threshold are chosen on other documents."""

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
    """Parts of the documents: each is cut by what was chosen on the others.

    Attributes:
        of_document: int64 `[document]`.
        of_gap: int64 `[gap]`.
        num: How many.
    """

    of_document: NDArray[np.int64]
    of_gap: NDArray[np.int64]
    num: int

    @classmethod
    def of(cls, words: Words) -> Folds:
        """Divide the documents.

        Raises:
            NotMeasurableError: There are too few, or gaps of one class only.
        """
        check_labels(words.is_boundary)
        parts, of_gap = divide(words.is_boundary, words.gap_documents)
        of_document = np.zeros(len(words.num_given), dtype=np.int64)
        of_document[words.gap_documents] = of_gap
        return cls(of_document, of_gap, len(parts))

    def development(self, part: int) -> int:
        """The part on which a fitted model's threshold is chosen where `part` is cut; it is fitted to the rest."""
        return (part + 1) % self.num

    def fitted(self, part: int) -> NDArray[np.bool_]:
        """The gaps to fit to where `part` is cut."""
        return (self.of_gap != part) & (self.of_gap != self.development(part))


@dataclass(frozen=True)
class Contestant:
    """Scores of which one is to be chosen, such as those of each layer.

    Attributes:
        score: What it is called.
        choices: What each of its scores is called, by part.
        values: By part, `[choice, gap]`, larger where a boundary is more likely.
        scored_at: The token whose value it is, where it is one.
        is_fitted: Whether it was fitted to `Folds.fitted`: its threshold is then chosen on `Folds.development` alone.
    """

    score: str
    choices: Sequence[Sequence[str]]
    values: Sequence[Array]
    scored_at: str | None = None
    is_fitted: bool = False


def fixed(score: str, values: Array, folds: Folds) -> Contestant:
    """A contestant of one score that was fitted to nothing."""
    return several(score, [("", values)], folds)


def several(
    score: str, named: Sequence[tuple[str, Array]], folds: Folds, *, scored_at: str | None = None
) -> Contestant:
    """A contestant of several scores by name that were fitted to nothing."""
    values = np.stack([values for _, values in named])
    return Contestant(score, [[name for name, _ in named]] * folds.num, [values] * folds.num, scored_at)


def decide(contestant: Contestant, words: Words, folds: Folds, objective: Objective) -> tuple[Array, list[int]]:
    """Put boundaries, in each part by the score and the threshold that were best in others.

    Returns:
        `[gap]`, 1 where a boundary is put and 0 elsewhere; and which score was chosen for each part.
    """
    decided = np.zeros(len(words.is_boundary))
    picked = []
    between = {}
    for part in range(folds.num):
        seen = folds.of_document != part
        if contestant.is_fitted:
            seen = folds.of_document == folds.development(part)
        best = (-1.0, 0, np.inf)
        for choice, scores in enumerate(contestant.values[part]):
            key = choice, part if contestant.is_fitted else 0
            if key not in between:
                between[key] = words.between(scores)
            threshold, f1 = best_threshold(words, scores, objective, seen, between[key])
            best = max(best, (f1, -choice, threshold))
        cut = folds.of_gap == part
        decided[cut] = contestant.values[part][-best[1]][cut] >= best[2]
        picked.append(-best[1])
    return decided, picked


def chosen_names(contestant: Contestant, picked: Sequence[int]) -> str | None:
    """What was chosen in the parts, and in how many each."""
    names = Counter(contestant.choices[part][choice] for part, choice in enumerate(picked))
    if set(names) == {""}:
        return None
    return ", ".join(f"{name} ({times} of {len(picked)})" for name, times in names.most_common())

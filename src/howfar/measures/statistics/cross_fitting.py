"""Cross-fitting: each fold of documents is scored by a model that was fitted to the other folds.

Scores of two models cannot be ranked against each other: a fold with many positives is scored by a model that saw few.
So items are compared only within their fold.

The folds are not independent, because each helped to fit the models of the others, and resampling documents does not
show this. If there is nothing to learn, the AUCs of the folds are correlated, and the variance of their mean is twice
what its documents say; if there is much to learn, the models of all folds agree, and it is not. So intervals widen with
the disagreement of the folds' models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.discrimination import check_labels, roc_auc
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.resampling import numbered
from howfar.measures.statistics.studentised import MIN_DOCUMENTS, Array

NUM_FOLDS = 5
_MOST_COMPARED = 2000  # items on which the folds' models are compared


@dataclass(frozen=True)
class CrossFitted:
    """Scores by models that were fitted to other documents."""

    scores: Array  # `[..., item]`, higher where a positive label is more likely
    folds: NDArray[np.int64]  # `[item]`, the fold of each item; only scores of one fold can be compared
    instability: Array
    """`[...]`, how far the models of two folds disagree: 0 if their scores are perfectly correlated, about 1 for linear
    models fitted to noise."""

    def __getitem__(self, index: int) -> CrossFitted:
        return CrossFitted(self.scores[index], self.folds, self.instability[index])

    def auc(self, labels: ArrayLike, documents: ArrayLike, **options: object) -> Estimate:
        """ROC-AUC over pairs of items of the same fold; its variance includes that of the fitted models.

        Raises:
            NotMeasurableError: As `roc_auc`.
        """
        found = roc_auc(self.scores, labels, documents, strata=[self.folds], **options)
        return found.widened(self.instability * np.square(found.error))


def cross_fitted(
    labels: NDArray[np.bool_], documents: ArrayLike, fit: Callable[[NDArray[np.int64]], Array]
) -> CrossFitted:
    """Score each fold by models that are fitted to the other folds.

    Args:
        fit: Fits models to the items with the given indices, and returns their scores of all items, `[..., item]`.

    Raises:
        NotMeasurableError: As `divide`.
    """
    parts, folds = divide(labels, documents)
    compared = np.linspace(0, len(labels) - 1, min(len(labels), _MOST_COMPARED)).astype(np.int64)
    scores = np.empty(0)
    by_fold: list[Array] = []
    for fitted, scored in parts:
        found = fit(fitted)
        scores = scores if by_fold else np.empty_like(found)
        scores[..., scored] = found[..., scored]
        by_fold.append(found[..., compared])
    return CrossFitted(scores, folds, _instability(np.stack(by_fold), folds[compared]))


def divide(
    labels: NDArray[np.bool_], documents: ArrayLike
) -> tuple[list[tuple[NDArray[np.int64], NDArray[np.int64]]], NDArray[np.int64]]:
    """Divide documents into folds.

    Returns:
        For each fold, the indices of the items to fit to and of those to score; and the fold of each item, `[item]`.

    Raises:
        NotMeasurableError: There are fewer documents than `MIN_DOCUMENTS`, or the items to fit to are of one class.
    """
    from sklearn.model_selection import GroupKFold

    which, num_documents = numbered(documents)
    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents are too few to hold some out; give at least {MIN_DOCUMENTS}"
        )
    parts = list(GroupKFold(NUM_FOLDS, shuffle=True, random_state=0).split(labels, labels, which))
    folds = np.empty(len(labels), dtype=np.int64)
    for number, (fitted, scored) in enumerate(parts):
        check_labels(labels[fitted])
        folds[scored] = number
    return parts, folds


def _instability(scores: Array, folds: NDArray[np.int64]) -> Array:
    """Disagreement `[...]` of the folds' models, from their scores of the same items, `[fold, ..., item]`.

    Two models share all but `1 / (NUM_FOLDS - 1)` of the documents that they were fitted to. So the scores of two
    linear models of noise correlate by `1 - 1 / (NUM_FOLDS - 1)`; their disagreement is the unit.

    They are compared on the items of the other folds, to which both were fitted: a model with many weights scores items
    that it was fitted to in another way, which says nothing about the folds' dependence.
    """
    correlations = []
    for one, other in combinations(range(NUM_FOLDS), 2):
        shared = (folds != one) & (folds != other)
        correlations.append(_correlation(scores[one][..., shared], scores[other][..., shared]))
    disagreement = (NUM_FOLDS - 1) * (1 - np.mean(correlations, axis=0))
    return np.where(np.isnan(disagreement), 0.0, np.minimum(disagreement, 1.0))


def _correlation(one: Array, other: Array) -> Array:
    """Pearson correlation over the last axis; NaN if one of them is constant."""
    one, other = (scores - scores.mean(axis=-1, keepdims=True) for scores in (one, other))
    sizes = np.square(one).sum(axis=-1) * np.square(other).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray((one * other).sum(axis=-1) / np.sqrt(sizes))

"""Scores of items by models that were fitted to other documents, and how sure they are.

Each part of the documents is scored by a model of its own. Scores of two models cannot be ranked against each other: a
part with many positives is scored by a model that saw few. So items are only ever compared within their part.

The parts are not independent: each helped to fit the models of the others. Resampled documents do not show that. Where
there is nothing to learn, two parts move each other's AUC alike, and the AUC varies twice as much as its documents say;
where there is much, the models of all parts agree, and it does not. How far they agree is therefore what widens an
interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.discrimination import check_labels, roc_auc
from howfar.measures.statistics.estimate import MIN_DOCUMENTS, Array, Estimate
from howfar.measures.statistics.resampling import numbered

NUM_FOLDS = 5
_MOST_COMPARED = 2000  # items whose scores by two models are correlated


@dataclass(frozen=True)
class CrossFitted:
    """Scores by models that were fitted to other documents.

    Attributes:
        scores: `[..., item]`, higher where a positive label is more likely.
        folds: `[item]`, which part of the documents an item is in; only scores of one part can be compared.
        instability: `[...]`, how far the models of two parts disagree: 0 if they rank all items alike, 1 where labels
            are noise and the models are linear.
    """

    scores: Array
    folds: NDArray[np.int64]
    instability: Array

    def __getitem__(self, index: int) -> CrossFitted:
        return CrossFitted(self.scores[index], self.folds, self.instability[index])

    def auc(
        self, labels: ArrayLike, documents: ArrayLike, *, strata: Sequence[ArrayLike] = (), **options: object
    ) -> Estimate:
        """Their `roc_auc`, items of one fold compared; its variance includes that of the fitted models.

        Raises:
            NotMeasurableError: As `roc_auc`.
        """
        found = roc_auc(self.scores, labels, documents, strata=(self.folds, *strata), **options)
        return found.widened(self.instability * np.square(found.error))


def cross_fitted(
    labels: NDArray[np.bool_], documents: ArrayLike, num_folds: int, fit: Callable[[NDArray[np.int64]], Array]
) -> CrossFitted:
    """Fit models to the other documents of each part, and score the part.

    Args:
        labels: `[item]`.
        documents: `[item]`.
        num_folds: Parts.
        fit: From the items to fit to, to the scores `[..., item]` that models of these give all items.

    Raises:
        NotMeasurableError: As `divide`.
    """
    parts, folds = divide(labels, documents, num_folds)
    compared = np.linspace(0, len(labels) - 1, min(len(labels), _MOST_COMPARED)).astype(np.int64)
    scores = np.empty(0)
    by_part: list[Array] = []
    for fitted, scored in parts:
        found = fit(fitted)
        scores = scores if by_part else np.empty_like(found)
        scores[..., scored] = found[..., scored]
        by_part.append(found[..., compared])
    return CrossFitted(scores, folds, _instability(np.stack(by_part)))


def divide(
    labels: NDArray[np.bool_], documents: ArrayLike, num_folds: int = NUM_FOLDS
) -> tuple[list[tuple[NDArray[np.int64], NDArray[np.int64]]], NDArray[np.int64]]:
    """Which items to fit to and which to score, each time; and `[item]`, the time at which each is scored.

    Raises:
        NotMeasurableError: Fewer documents than `MIN_DOCUMENTS`, or the others of a part are of one class only.
    """
    from sklearn.model_selection import GroupKFold

    which, num_documents = numbered(documents)
    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents are too few to hold some out; give at least {MIN_DOCUMENTS}"
        )
    parts = list(GroupKFold(num_folds, shuffle=True, random_state=0).split(labels, labels, which))
    folds = np.empty(len(labels), dtype=np.int64)
    for number, (fitted, scored) in enumerate(parts):
        check_labels(labels[fitted])
        folds[scored] = number
    return parts, folds


def _instability(scores: Array) -> Array:
    """From scores `[part, ..., item]` of the same items by each part's model.

    Two models share all but one in `num_parts - 1` of the documents that they were fitted to, so their directions
    correlate by `1 - 1 / (num_parts - 1)` where a linear model fits noise: that disagreement is the unit.
    """
    num_parts = len(scores)
    centred = scores - scores.mean(axis=-1, keepdims=True)
    length = np.sqrt(np.square(centred).sum(axis=-1, keepdims=True))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    is_known = (length[..., 0] > 0).all(axis=0)  # a model that gives all items one score has no direction
    pairs = np.square(unit.sum(axis=0)).sum(axis=-1) - num_parts
    agreement = pairs / (num_parts * (num_parts - 1))
    return np.where(is_known, (num_parts - 1) * (1 - agreement), 0.0)

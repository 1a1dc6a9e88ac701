"""How well scores tell two classes apart: ROC-AUC over documents, and models fitted to other documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.resampling import (
    MIN_DOCUMENTS,
    Array,
    Estimate,
    bootstrap,
    numbered,
)

NUM_FOLDS = 5


def roc_auc(scores: ArrayLike, labels: ArrayLike, documents: ArrayLike, **options: Any) -> Estimate:
    """The probability that a positive item scores higher than a negative one (ties count half).

    Args:
        scores: `[..., item]`, several scores of the same items.
        labels: `[item]`, true for positive items.
        documents: `[item]`, which document each item is of; any integers.
        **options: Of `bootstrap`.

    Raises:
        NotMeasurableError: All labels are the same, a score is not finite, or there are too few documents.
    """
    scores, labels = np.asarray(scores, np.float64), check_labels(labels)
    if not np.isfinite(scores).all():
        raise NotMeasurableError("a score is infinite or not a number, so items cannot be ranked; leave such items out")
    which, num_documents = numbered(documents)
    rankings = [_Ranking.of(row, labels, which) for row in scores.reshape(-1, scores.shape[-1])]

    def statistic(weights: Array) -> Array:
        return np.stack([ranking.auc(weights) for ranking in rankings]).reshape(*scores.shape[:-1], len(weights))

    return bootstrap(statistic, num_documents, **options)


def check_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Labels as booleans.

    Raises:
        NotMeasurableError: All labels are the same, or there are none.
    """
    labels = np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        what = "there are no items" if not len(labels) else f"all {len(labels)} items are {bool(labels[0])}"
        raise NotMeasurableError(f"{what}, so nothing tells the classes apart; give labels of both kinds")
    return labels


def held_out_scores(
    features: ArrayLike, labels: ArrayLike, documents: ArrayLike, *, probe: bool = False, num_folds: int = NUM_FOLDS
) -> Array:
    """Scores of items by a model fitted to other documents.

    Args:
        features: `[item, feature]`.
        labels: `[item]`, what to predict.
        documents: `[item]`; no document is both fitted to and scored.
        probe: False: the model of `nested_scores`. True: a linear probe of many features (ridge regression).
        num_folds: Parts that the documents are divided into.

    Returns:
        `[item]`, higher where a positive label is more likely.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    if not probe:
        return np.asarray(nested_scores(features, [], labels, documents, num_folds=num_folds)[0])
    from sklearn.model_selection import cross_val_predict

    features, labels = np.asarray(features), check_labels(labels)
    folds = _folds(labels, documents, num_folds)
    return np.asarray(
        cross_val_predict(_linear_probe(), features, labels, cv=folds, method="decision_function"), np.float64
    )


def nested_scores(
    base: ArrayLike,
    additions: Sequence[ArrayLike],
    labels: ArrayLike,
    documents: ArrayLike,
    *,
    num_folds: int = NUM_FOLDS,
) -> Array:
    """Scores by a model of some features, and by models that know something more: compare the AUCs of these.

    A model is a logistic regression on a cubic spline of each feature's quantile, so that a feature adds nothing if it
    is but another one bent. It is fitted to other documents than it scores.

    Args:
        base: `[item, feature]`.
        additions: Each `[item, further feature]`.
        labels: `[item]`, what to predict.
        documents: `[item]`; no document is both fitted to and scored.
        num_folds: Parts that the documents are divided into.

    Returns:
        `[1 + addition, item]`, higher where a positive label is more likely; first the model of the base alone.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    from sklearn.linear_model import LogisticRegression

    labels = check_labels(labels)
    features = [np.asarray(columns, np.float64) for columns in (base, *additions)]
    scores = np.empty((len(features), len(labels)))
    for fitted, scored in _folds(labels, documents, num_folds):
        bent_base, *bent = (_bent(columns, fitted) for columns in features)
        for number, columns in enumerate((bent_base, *(np.hstack([bent_base, addition]) for addition in bent))):
            model = LogisticRegression(solver="newton-cholesky").fit(columns[fitted], labels[fitted])
            scores[number, scored] = model.decision_function(columns[scored])
    return scores


def _folds(labels: NDArray[np.bool_], documents: ArrayLike, num_folds: int) -> list[Any]:
    """Which items to fit to and which to score, each time."""
    from sklearn.model_selection import GroupKFold

    which, num_documents = numbered(documents)
    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents are too few to hold some out; give at least {MIN_DOCUMENTS}"
        )
    folds = list(GroupKFold(num_folds, shuffle=True, random_state=0).split(labels, labels, which))
    for fitted, _ in folds:
        check_labels(labels[fitted])
    return folds


def _bent(columns: Array, fitted: NDArray[np.int64]) -> Array:
    """A cubic spline of each feature's quantile among the fitted items; `[item, spline]`."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, SplineTransformer

    knots = np.tile(np.linspace(0, 1, 5)[:, None], columns.shape[1])
    bend = make_pipeline(
        QuantileTransformer(n_quantiles=min(100, len(fitted) // 2), random_state=0), SplineTransformer(knots=knots)
    )
    return np.asarray(bend.fit(columns[fitted]).transform(columns))


def _linear_probe() -> Any:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))


@dataclass(frozen=True)
class _Ranking:
    """Items in the order of a score, as the documents that they are of.

    Attributes:
        positives: `[positive]`, document of each positive item.
        negatives: `[negative]`, document of each negative item, scores ascending.
        first: `[positive]`, how many negative items score lower.
        last: `[positive]`, how many negative items score lower or the same.
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Array, labels: NDArray[np.bool_], documents: NDArray[np.int64]) -> _Ranking:
        positive_order, negative_order = np.argsort(scores[labels]), np.argsort(scores[~labels])
        ascending, reference = scores[labels][positive_order], scores[~labels][negative_order]
        first, last = (np.searchsorted(reference, ascending, side) for side in ("left", "right"))
        return cls(documents[labels][positive_order], documents[~labels][negative_order], first, last)

    def auc(self, weights: Array) -> Array:
        """Pairs in order over all pairs, with weights `[resample, document]`: `[resample]`."""
        twice_in_order, in_all = np.empty(len(weights)), np.empty(len(weights))
        lower = np.zeros(len(self.negatives) + 1)
        for number, drawn in enumerate(weights):  # one at a time stays in the processor's cache
            np.cumsum(drawn[self.negatives], out=lower[1:])
            positives = drawn[self.positives]
            twice_in_order[number] = positives @ lower[self.first] + positives @ lower[self.last]
            in_all[number] = 2 * positives.sum() * lower[-1]
        with np.errstate(invalid="ignore"):
            return twice_in_order / in_all

"""How well scores tell two classes apart: ROC-AUC over documents, and models fitted to other documents."""

from __future__ import annotations

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
        columns = np.ascontiguousarray(weights.T)
        return np.stack([ranking.auc(columns) for ranking in rankings]).reshape(*scores.shape[:-1], len(weights))

    return bootstrap(statistic, num_documents, cost=len(labels), **options)


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
    features: ArrayLike, labels: ArrayLike, documents: ArrayLike, *, probe: bool = False, num_folds: int = 5
) -> Array:
    """Scores of items by a model fitted to other documents: of nested models, compare the AUCs of these.

    Args:
        features: `[item, feature]`.
        labels: `[item]`, what to predict.
        documents: `[item]`; no document is both fitted to and scored.
        probe: False: logistic regression on a cubic spline of each feature's quantile, so that a feature adds nothing
            if it is but another one bent. True: a linear probe of many features (ridge regression).
        num_folds: Parts that the documents are divided into.

    Returns:
        `[item]`, higher where a positive label is more likely.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    from sklearn.model_selection import GroupKFold, cross_val_predict

    features, labels = np.asarray(features), check_labels(labels)
    which, num_documents = numbered(documents)
    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents are too few to hold some out; give at least {MIN_DOCUMENTS}"
        )
    folds = list(GroupKFold(num_folds, shuffle=True, random_state=0).split(features, labels, which))
    for fitted, _ in folds:
        check_labels(labels[fitted])
    model = _linear_probe() if probe else _additive_model(*features.shape)
    scores = cross_val_predict(model, features, labels, cv=folds, method="decision_function")
    return np.asarray(scores, np.float64)


def _additive_model(num_items: int, num_features: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, SplineTransformer

    knots = np.tile(np.linspace(0, 1, 5)[:, None], num_features)
    return make_pipeline(
        QuantileTransformer(n_quantiles=min(100, num_items // 2), random_state=0),
        SplineTransformer(knots=knots),
        LogisticRegression(solver="newton-cholesky"),
    )


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
        """Pairs in order over all pairs, with weights `[document, resample]`: `[resample]`."""
        lower = np.zeros((len(self.negatives) + 1, weights.shape[1]))
        np.cumsum(weights[self.negatives], axis=0, out=lower[1:])
        positives = weights[self.positives]
        twice_in_order = np.einsum("pr,pr->r", positives, lower[self.first] + lower[self.last])
        with np.errstate(invalid="ignore"):
            return np.asarray(twice_in_order / (2 * positives.sum(axis=0) * lower[-1]))

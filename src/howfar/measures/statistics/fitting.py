"""Scores of items by models that were fitted to other documents.

Each part of the documents is scored by a model of its own. Scores of two models cannot be ranked against each other: a
part with many positives is scored by a model that saw few. So items are only ever compared within their part.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.discrimination import check_labels, roc_auc
from howfar.measures.statistics.estimate import MIN_DOCUMENTS, Array, Estimate
from howfar.measures.statistics.resampling import numbered

NUM_FOLDS = 5
PROBE_NEURONS = 64

ProbeKind = Literal["linear", "mlp"]


@dataclass(frozen=True)
class CrossFitted:
    """Scores by models that were fitted to other documents.

    Attributes:
        scores: `[..., item]`, higher where a positive label is more likely.
        folds: `[item]`, which part of the documents an item is in; only scores of one part can be compared.
    """

    scores: Array
    folds: NDArray[np.int64]

    def auc(
        self, labels: ArrayLike, documents: ArrayLike, *, strata: Sequence[ArrayLike] = (), **options: Any
    ) -> Estimate:
        """Their `roc_auc`, items of one fold compared.

        Raises:
            NotMeasurableError: As `roc_auc`.
        """
        return roc_auc(self.scores, labels, documents, strata=(self.folds, *strata), **options)


@dataclass(frozen=True)
class Additions:
    """What models know that are given something more than a base.

    Attributes:
        base: The model of the base alone; scores `[item]`.
        more: Models that know an addition as well, `[addition, item]`.
        exchanged: The same with each addition exchanged among the items of a document, which makes it useless:
            `[addition, item]`. A further feature costs a fitted model something even if it is worth nothing; this is
            what it costs.
    """

    base: CrossFitted
    more: CrossFitted
    exchanged: CrossFitted


def probe_scores(
    features: ArrayLike,
    labels: ArrayLike,
    documents: ArrayLike,
    *,
    kind: ProbeKind = "linear",
    num_neurons: int = PROBE_NEURONS,
    num_folds: int = NUM_FOLDS,
    seed: int = 0,
) -> CrossFitted:
    """Scores of items by a probe of many features.

    Args:
        features: `[item, feature]`.
        labels: `[item]`, what to predict.
        documents: `[item]`; no document is both fitted to and scored.
        kind: `"linear"` (ridge regression), or `"mlp"` (one hidden layer, stopped early).
        num_neurons: Of the hidden layer.
        num_folds: Parts that the documents are divided into.
        seed: Of the hidden layer's beginning.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    features, labels = np.asarray(features), check_labels(labels)
    parts, folds = divide(labels, documents, num_folds)
    scores = np.empty(len(labels))
    for fitted, scored in parts:
        probe = fit_probe(features[fitted], labels[fitted], kind=kind, num_neurons=num_neurons, seed=seed)
        scores[scored] = probe(features[scored])
    return CrossFitted(scores, folds)


def fit_probe(
    features: NDArray[Any],
    labels: NDArray[np.bool_],
    *,
    kind: ProbeKind,
    num_neurons: int = PROBE_NEURONS,
    seed: int = 0,
) -> Callable[[NDArray[Any]], Array]:
    """Fit a probe, as `probe_scores` does, to features `[item, feature]`; it gives scores `[item]` of others."""
    from sklearn.exceptions import ConvergenceWarning

    probe = _linear() if kind == "linear" else _mlp(num_neurons, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
        probe.fit(features, labels)
    return lambda others: _decide(probe, others)


def nested_scores(
    base: ArrayLike,
    additions: Sequence[ArrayLike],
    labels: ArrayLike,
    documents: ArrayLike,
    *,
    categories: ArrayLike | None = None,
    num_folds: int = NUM_FOLDS,
    seed: int = 0,
) -> Additions:
    """Scores by a model of some features, and by models that know something more: compare the AUCs of these.

    A model is a logistic regression on a cubic spline of each feature's quantile, so that a feature adds nothing if it
    is but another one bent. Of categories it knows how often items like them are positive.

    Args:
        base: `[item, feature]`; no feature where only categories are known.
        additions: Each `[item, further feature]`.
        labels: `[item]`, what to predict.
        documents: `[item]`; no document is both fitted to and scored.
        categories: `[item, category]`, integers that the base knows as well, such as the characters around a gap.
        num_folds: Parts that the documents are divided into.
        seed: Of the exchanges.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    from sklearn.linear_model import LogisticRegression

    labels = check_labels(labels)
    which = numbered(documents)[0]
    features = [np.asarray(columns, np.float64) for columns in (base, *additions)]
    useless = [addition[_exchange(which, seed)] for addition in features[1:]]
    parts, folds = divide(labels, documents, num_folds)
    scores = np.empty((1 + 2 * len(additions), len(labels)))
    for fitted, scored in parts:
        known = _bent(features[0], fitted) if features[0].shape[1] else features[0]
        if categories is not None:
            known = np.hstack([known, _looked_up(np.asarray(categories), labels, which, fitted)])
        bent = [_bent(addition, fitted) for addition in (*features[1:], *useless)]
        for number, columns in enumerate((known, *(np.hstack([known, addition]) for addition in bent))):
            model = LogisticRegression(solver="newton-cholesky").fit(columns[fitted], labels[fitted])
            scores[number, scored] = model.decision_function(columns[scored])
    alone, more, exchanged = np.split(scores, [1, 1 + len(additions)])
    return Additions(CrossFitted(alone[0], folds), CrossFitted(more, folds), CrossFitted(exchanged, folds))


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


def _exchange(documents: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each item, another one of its document, at random; each once."""
    generator = np.random.default_rng(seed)
    places = np.argsort(documents, kind="stable")
    source = np.empty_like(places)
    source[places] = np.lexsort((generator.random(len(documents)), documents))
    return source


def _bent(columns: Array, fitted: NDArray[np.int64]) -> Array:
    """A cubic spline of each feature's quantile among the fitted items; `[item, spline]`."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, SplineTransformer

    knots = np.tile(np.linspace(0, 1, 5)[:, None], columns.shape[1])
    bend = make_pipeline(
        QuantileTransformer(n_quantiles=min(100, len(fitted) // 2), random_state=0), SplineTransformer(knots=knots)
    )
    return np.asarray(bend.fit(columns[fitted]).transform(columns))


def _looked_up(
    categories: NDArray[np.int64], labels: NDArray[np.bool_], documents: NDArray[np.int64], fitted: NDArray[np.int64]
) -> Array:
    """How often items of the same category are positive, `[item, category]`, shrunk to the mean where they are few.

    An item that is fitted to is looked up among other documents: its own label would give it away.

    Source:
        Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical attributes".
    """
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import TargetEncoder

    def encoder_of(items: NDArray[np.int64]) -> Any:
        return TargetEncoder(target_type="binary").fit(categories[items], labels[items])

    encoded = encoder_of(fitted).transform(categories)
    for others, own in GroupKFold(NUM_FOLDS, shuffle=True, random_state=1).split(fitted, groups=documents[fitted]):
        encoded[fitted[own]] = encoder_of(fitted[others]).transform(categories[fitted[own]])
    return np.log(np.clip(encoded, 1e-4, 1 - 1e-4) / np.clip(1 - encoded, 1e-4, 1 - 1e-4))


def _linear() -> Any:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))


def _mlp(num_neurons: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    layer = MLPClassifier((num_neurons,), early_stopping=True, n_iter_no_change=3, max_iter=60, random_state=seed)
    return make_pipeline(StandardScaler(), layer)


def _decide(probe: Any, features: Any) -> Array:
    if hasattr(probe, "decision_function"):
        return np.asarray(probe.decision_function(features), np.float64)
    chances = np.clip(probe.predict_proba(features)[:, 1].astype(np.float64), 1e-12, 1 - 1e-12)
    return np.log(chances / (1 - chances))

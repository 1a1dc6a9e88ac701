"""Probes of many features, and models that know something more than a base."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.measures.choices import ProbeKind
from howfar.measures.statistics.cross_fitting import NUM_FOLDS, CrossFitted, cross_fitted
from howfar.measures.statistics.discrimination import check_labels, roc_auc
from howfar.measures.statistics.estimate import Array, Estimate
from howfar.measures.statistics.resampling import numbered

PROBE_NEURONS = 64
NUM_EXCHANGES = 20
"""Useless additions, all together, that say how much a useless one gains; of each addition at least `FEWEST`."""
FEWEST_EXCHANGES = 3


@dataclass(frozen=True)
class Additions:
    """What models know that are given something more than a base.

    Attributes:
        base: The model of the base alone; scores `[item]`.
        more: Models that know an addition as well, `[addition, item]`.
        exchanged: The same with each addition exchanged among items, which makes it useless, several times:
            `[exchange, addition, item]`. A further feature costs a fitted model something even if it is worth nothing;
            this is what it costs, and how much that varies.
    """

    base: CrossFitted
    more: CrossFitted
    exchanged: CrossFitted

    def gains(
        self, labels: ArrayLike, documents: ArrayLike, *, strata: Sequence[ArrayLike] = (), **options: Any
    ) -> Estimate:
        """How much each addition adds to the AUC of the base beyond what a useless one does, `[addition]`.

        Where an addition is useless, its gain varies as the exchanged ones' do, which is more than documents show: the
        fitted models differ as well. That variance is estimated from the exchanges of all additions, and added.

        Raises:
            NotMeasurableError: As `roc_auc`.
        """
        more, exchanged = (
            roc_auc(models.scores, labels, documents, strata=(models.folds, *strata), **options)
            for models in (self.more, self.exchanged)
        )
        parts = {name: getattr(exchanged, name) for name in ("value", "replicates", "left_out", "num_carriers")}
        useless = replace(exchanged, **{name: part.mean(axis=0) for name, part in parts.items()})
        num = len(self.exchanged.scores)
        in_all = exchanged.value.var(axis=0, ddof=1)
        in_documents = np.square((exchanged - useless).error).sum(axis=0) / (num - 1)
        return (more - useless).widened(max(0.0, float((in_all - in_documents).mean())) * (1 + 1 / num))


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

    def fit(items: NDArray[np.int64]) -> Array:
        probe = fit_probe(features[items], labels[items], kind=kind, num_neurons=num_neurons, seed=seed)
        return probe(features)

    return cross_fitted(labels, documents, num_folds, fit)


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
    exchange_within: ArrayLike | None = None,
    num_folds: int = NUM_FOLDS,
    seed: int = 0,
) -> Additions:
    """Scores by a model of some features, and by models that know something more: see their `gains`.

    A model is a logistic regression on a cubic spline of each feature's quantile, so that a feature adds nothing if it
    is but another one bent. Of categories it knows how often items like them are positive.

    Args:
        base: `[item, feature]`; no feature where only categories are known.
        additions: Each `[item, further feature]`.
        labels: `[item]`, what to predict.
        documents: `[item]`; no document is both fitted to and scored.
        categories: `[item, category]`, integers that the base knows as well, such as the characters around a gap.
        exchange_within: `[item]`, integers: items that are alike in it exchange additions, so that what an addition
            repeats of it is no gain; items of one document where None.
        num_folds: Parts that the documents are divided into.
        seed: Of the exchanges.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    from sklearn import config_context

    labels, which = check_labels(labels), numbered(documents)[0]
    known, *further = [np.asarray(columns, np.float64) for columns in (base, *additions)]
    groups = which if exchange_within is None else numbered(exchange_within)[0]
    num_exchanges = max(FEWEST_EXCHANGES, math.ceil(NUM_EXCHANGES / max(len(further), 1)))
    itself = np.arange(len(labels))

    def fit(items: NDArray[np.int64]) -> Array:
        columns = _bent(known, items) if known.shape[1] else known
        if categories is not None:
            columns = np.hstack([columns, _looked_up(np.asarray(categories), labels, which, items)])
        model = _Logistic(columns, labels, items)
        scores = np.empty((1 + (1 + num_exchanges) * len(further), len(labels)))
        scores[0] = model.scores()
        for number, addition in enumerate(further):
            bent, generator = _bent(addition, items), np.random.default_rng([seed, number])
            for exchange in range(1 + num_exchanges):
                source = _exchange(groups, generator) if exchange else itself
                scores[1 + exchange * len(further) + number] = model.scores(bent[source])
        return scores

    with config_context(assume_finite=True, skip_parameter_validation=True):  # or that takes most of the time
        found = cross_fitted(labels, documents, num_folds, fit)

    def part(rows: slice, *shape: int) -> CrossFitted:
        return CrossFitted(
            found.scores[rows].reshape(*shape, len(labels)), found.folds, found.instability[rows].reshape(shape)
        )

    num = len(further)
    return Additions(part(slice(0, 1)), part(slice(1, 1 + num), num), part(slice(1 + num, None), num_exchanges, num))


class _Logistic:
    """Logistic regressions of some columns, and of these and further ones, which begin where the first one ended.

    Args:
        columns: `[item, column]`.
        labels: `[item]`.
        items: Those to fit to.
    """

    def __init__(self, columns: Array, labels: NDArray[np.bool_], items: NDArray[np.int64]) -> None:
        self._columns, self._labels, self._items = columns, labels, items
        self._model = self._fitted(columns, np.zeros(columns.shape[1]), np.zeros(1))

    def scores(self, further: Array | None = None) -> Array:
        """Log odds of all items, `[item]`, where further columns are known as well."""
        if further is None:
            return np.asarray(self._model.decision_function(self._columns))
        columns = np.hstack([self._columns, further])
        start = np.append(self._model.coef_[0], np.zeros(further.shape[1]))
        return np.asarray(self._fitted(columns, start, self._model.intercept_).decision_function(columns))

    def _fitted(self, columns: Array, coefficients: Array, intercept: Array) -> Any:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(solver="newton-cholesky", warm_start=True)
        model.coef_, model.intercept_ = coefficients[None], intercept.copy()
        return model.fit(columns[self._items], self._labels[self._items])


def _exchange(groups: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """For each item, another one of its group, at random; each once."""
    places = np.argsort(groups, kind="stable")
    source = np.empty_like(places)
    source[places] = np.lexsort((generator.random(len(groups)), groups))
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

"""Probes of many features, and nested models: a baseline, and the same with further features."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.measures.choices import ProbeKind
from howfar.measures.statistics.cross_fitting import NUM_FOLDS, CrossFitted, cross_fitted
from howfar.measures.statistics.discrimination import check_labels
from howfar.measures.statistics.gains import Additions
from howfar.measures.statistics.resampling import numbered, permutation_within
from howfar.measures.statistics.studentised import Array

PROBE_NEURONS = 64
PROBE_EPOCHS = 20
"""Epochs of a hidden layer. Were it stopped early, `CrossFitted` would overstate how much its folds vary together."""
NUM_PERMUTATIONS, MIN_PERMUTATIONS = 20, 3
"""Permuted additions in total, and the fewest of each addition."""
_NUM_SPLINES, _DEGREE = 7, 3  # of each feature


def probe_scores(
    features: ArrayLike,
    labels: ArrayLike,
    documents: ArrayLike,
    *,
    kind: ProbeKind = "linear",
    num_neurons: int = PROBE_NEURONS,
    seed: int = 0,
) -> CrossFitted:
    """Cross-fitted scores of items by a probe of many features.

    Args:
        features: `[item, feature]`.
        documents: `[item]`; no document is both fitted to and scored.
        kind: `"linear"` (ridge regression), or `"mlp"` (one hidden layer, `PROBE_EPOCHS` epochs).
        num_neurons: Width of the hidden layer.

    Raises:
        NotMeasurableError: All labels are the same, or there are fewer documents than `MIN_DOCUMENTS`.
    """
    features, labels = np.asarray(features), check_labels(labels)

    def fit(items: NDArray[np.int64]) -> Array:
        probe = fit_probe(features[items], labels[items], kind=kind, num_neurons=num_neurons, seed=seed)
        return probe(features)

    return cross_fitted(labels, documents, fit)


def fit_probe(
    features: NDArray[Any],
    labels: NDArray[np.bool_],
    *,
    kind: ProbeKind,
    num_neurons: int = PROBE_NEURONS,
    seed: int = 0,
) -> Callable[[NDArray[Any]], Array]:
    """Fit a probe to features `[item, feature]`; returns a function from such features to scores `[item]`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import RidgeClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "linear":
        probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0)).fit(features, labels)
        return lambda others: np.asarray(probe.decision_function(others), np.float64)
    epochs = {"max_iter": PROBE_EPOCHS, "n_iter_no_change": PROBE_EPOCHS}
    mlp = make_pipeline(StandardScaler(), MLPClassifier((num_neurons,), alpha=1.0, random_state=seed, **epochs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
        mlp.fit(features, labels)

    def log_odds(others: NDArray[Any]) -> Array:
        probabilities = np.clip(mlp.predict_proba(others)[:, 1].astype(np.float64), 1e-12, 1 - 1e-12)
        return np.log(probabilities / (1 - probabilities))

    return log_odds


def nested_scores(
    base: ArrayLike,
    additions: Sequence[ArrayLike],
    labels: ArrayLike,
    documents: ArrayLike,
    *,
    categories: ArrayLike | None = None,
    permute_within: ArrayLike | None = None,
    seed: int = 0,
) -> Additions:
    """Cross-fitted scores by a baseline model and by models with further features; `gains` compares them.

    Each model is a logistic regression on a cubic spline of each feature's quantile, so a monotonic function of a known
    feature adds nothing. Categories enter by their target encoding: how often items of the category are positive.

    Args:
        base: `[item, feature]`; it may have no features if there are categories.
        additions: Each `[item, further feature]`.
        documents: `[item]`; no document is both fitted to and scored.
        categories: `[item, category]`, integers that the baseline knows as well, for example the characters around a
            gap.
        permute_within: `[item]`, integers: additions are permuted among items with the same value, so an addition that
            only repeats this value gains nothing. Where None, they are permuted within documents.

    Raises:
        NotMeasurableError: All labels are the same, or there are fewer documents than `MIN_DOCUMENTS`.
    """
    from sklearn import config_context

    labels, which = check_labels(labels), numbered(documents)[0]
    known, *further = [np.asarray(columns, np.float64) for columns in (base, *additions)]
    groups = which if permute_within is None else numbered(permute_within)[0]
    num_permutations = max(MIN_PERMUTATIONS, math.ceil(NUM_PERMUTATIONS / max(len(further), 1)))
    identity = np.arange(len(labels))

    def fit(items: NDArray[np.int64]) -> Array:
        columns = _splines(known, items) if known.shape[1] else known
        if categories is not None:
            columns = np.hstack([columns, _target_encoded(np.asarray(categories), labels, which, items)])
        model = _Logistic(columns, labels, items)
        scores = np.empty((1 + (1 + num_permutations) * len(further), len(labels)))
        scores[0] = model.scores()
        for number, addition in enumerate(further):
            splines, generator = _splines(addition, items), np.random.default_rng([seed, number])
            for permutation in range(1 + num_permutations):
                source = permutation_within(groups, generator) if permutation else identity
                scores[1 + permutation * len(further) + number] = model.scores(splines[source])
        return scores

    with config_context(assume_finite=True, skip_parameter_validation=True):  # these checks would take most of the time
        found = cross_fitted(labels, documents, fit)

    def part(rows: slice, *shape: int) -> CrossFitted:
        return CrossFitted(
            found.scores[rows].reshape(*shape, len(labels)), found.folds, found.instability[rows].reshape(shape)
        )

    num = len(further)
    more, permuted = part(slice(1, 1 + num), num), part(slice(1 + num, None), num_permutations, num)
    coefficients = np.array([addition.shape[1] * (_NUM_SPLINES - 1) for addition in further], np.int64)  # they add to 1
    return Additions(part(slice(0, 1)), more, permuted, coefficients)


class _Logistic:
    """A logistic regression on columns `[item, column]`, fitted to some items; further columns start from its own."""

    def __init__(self, columns: Array, labels: NDArray[np.bool_], items: NDArray[np.int64]) -> None:
        self._columns, self._labels, self._items = columns, labels, items
        self._model = self._fitted(columns, np.zeros(columns.shape[1]), np.zeros(1))

    def scores(self, further: Array | None = None) -> Array:
        """Log odds of all items, `[item]`, given further columns `[item, column]` if there are any."""
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


def _splines(columns: Array, fitted: NDArray[np.int64]) -> Array:
    """Cubic splines of each feature's quantile among the fitted items; `[item, spline]`."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, SplineTransformer

    knots = np.tile(np.linspace(0, 1, _NUM_SPLINES - _DEGREE + 1)[:, None], columns.shape[1])
    splines = make_pipeline(
        QuantileTransformer(n_quantiles=min(100, len(fitted) // 2), random_state=0),
        SplineTransformer(knots=knots, degree=_DEGREE),
    )
    return np.asarray(splines.fit(columns[fitted]).transform(columns))


def _target_encoded(
    categories: NDArray[np.int64], labels: NDArray[np.bool_], documents: NDArray[np.int64], fitted: NDArray[np.int64]
) -> Array:
    """Log odds of being positive for items of the same category, `[item, category]`; rare ones shrink to the mean.

    The encoding of a fitted item comes from other documents, because its own label would leak into it.

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

"""All statistics of the measures: intervals that resample documents, and tests that a sceptic accepts.

Tokens of one document are not independent, so every interval here resamples whole documents. A resample is a row of
weights, how often it drew each document, so that a statistic of sums is one matrix product for all resamples at once.
Two statistics computed on the same documents share their resamples: their difference is paired.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From weights `[resample, document]` to values `[..., resample]`."""

LEVEL = 0.95
NUM_RESAMPLES = 1000
MIN_DOCUMENTS = 10
"""Fewer documents give no interval worth the name."""
_BATCH_ELEMENTS = 500_000  # numbers worked on at once while resampling, few enough for the processor's cache


@dataclass(frozen=True)
class Estimate:
    """A statistic, or an array of them, and its values in resamples of the documents.

    Attributes:
        value: `[...]`; its unit is the statistic's.
        replicates: `[..., resample]`; NaN where a resample has no value (it drew no document with the class asked for).
        num_documents: Documents that were resampled.
        level: Coverage of `low` to `high`.
    """

    value: Array
    replicates: Array
    num_documents: int
    level: float = LEVEL

    @property
    def low(self) -> Array:
        """Lower end of the percentile interval, `[...]`."""
        return self._quantile((1 - self.level) / 2)

    @property
    def high(self) -> Array:
        """Upper end of the percentile interval, `[...]`."""
        return self._quantile((1 + self.level) / 2)

    def at_level(self, level: float) -> Estimate:
        """The same with another coverage."""
        return replace(self, level=level)

    def __getitem__(self, index: Any) -> Estimate:
        index = index if isinstance(index, tuple) else (index,)
        return replace(self, value=self.value[index], replicates=self.replicates[(*index, ..., slice(None))])

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference of two statistics of the same documents; broadcasts."""
        if self.replicates.shape[-1] != other.replicates.shape[-1] or self.num_documents != other.num_documents:
            raise ValueError("only statistics of the same documents and resamples can be subtracted")
        return replace(self, value=self.value - other.value, replicates=self.replicates - other.replicates)

    def simultaneous(self, null: float = 0.0) -> Simultaneous:
        """Intervals that hold for all the statistics together, so that the best may be picked afterwards.

        The largest standardised deviation of any statistic, over the resamples, takes the place of each one's own
        (single-step max-t).

        Args:
            null: The value that the p-values test against.

        Source:
            Romano & Wolf 2005, "Exact and approximate stepdown methods for multiple hypothesis testing".
        """
        error = np.nanstd(self.replicates, axis=-1, ddof=1)
        error = np.where(error > 0, error, np.nan)  # a constant, such as an AUC of exactly 0.5, deviates never
        deviations = np.abs(self.replicates - self.value[..., None]) / error[..., None]
        worst = np.nanmax(np.nan_to_num(deviations), axis=tuple(range(self.value.ndim)))
        half_width = np.quantile(worst, self.level) * np.nan_to_num(error)
        observed = np.nan_to_num(np.abs(self.value - null) / error)
        exceeded = (worst >= observed[..., None]).sum(axis=-1)
        return Simultaneous(self.value - half_width, self.value + half_width, (exceeded + 1) / (len(worst) + 1))

    def _quantile(self, probability: float) -> Array:
        known = ~np.isnan(self.replicates).all(axis=-1)
        filled = np.where(known[..., None], self.replicates, 0.0)
        return np.where(known, np.nanquantile(filled, probability, axis=-1), np.nan)


@dataclass(frozen=True)
class Simultaneous:
    """Intervals `[...]` of which all hold together with the level asked for, and p-values corrected alike."""

    low: Array
    high: Array
    p_value: Array


def bootstrap(
    statistic: Statistic,
    num_documents: int,
    *,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
    cost: int = 1,
) -> Estimate:
    """Resample documents.

    Args:
        statistic: From weights `[resample, document]` to values `[..., resample]`.
        num_documents: How many documents the weights stand for.
        num_resamples: Draws of `num_documents` documents with replacement.
        level: Coverage of the interval.
        seed: Statistics with the same seed and number of documents share their resamples.
        cost: Numbers that the statistic holds per resample, beside the weights; bounds the memory.

    Raises:
        NotMeasurableError: There are fewer than `MIN_DOCUMENTS` documents.
    """
    from scipy.stats import DegenerateDataWarning
    from scipy.stats import bootstrap as resample

    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents give no interval; give at least {MIN_DOCUMENTS}, or split the text into more"
        )

    def of_drawn(drawn: NDArray[np.int64], axis: int) -> Array:
        return statistic(_weights(drawn, num_documents))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of NaNs, which `Estimate` keeps for what they are
        result = resample(
            (np.arange(num_documents),),
            of_drawn,
            n_resamples=num_resamples,
            batch=max(1, min(num_resamples, _BATCH_ELEMENTS // max(num_documents, cost))),
            vectorized=True,
            method="percentile",
            rng=seed,
        )
    value = np.asarray(statistic(np.ones((1, num_documents))))[..., 0]
    return Estimate(value, np.asarray(result.bootstrap_distribution), num_documents, level)


def ratio(numerators: ArrayLike, denominators: ArrayLike, **options: Any) -> Estimate:
    """A ratio of sums over documents, such as nats per byte or a mean over tokens.

    Args:
        numerators: `[..., document]`, a sum for each document.
        denominators: `[..., document]`, what to divide by, likewise.
        **options: Of `bootstrap`.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)

    def statistic(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((top @ weights.T) / (bottom @ weights.T))

    return bootstrap(statistic, top.shape[-1], cost=int(top[..., 0].size), **options)


def mean(values: ArrayLike, documents: ArrayLike, **options: Any) -> Estimate:
    """The mean over items, such as tokens, with the interval of their documents.

    Args:
        values: `[..., item]`.
        documents: `[item]`, which document each item is of; any integers.
        **options: Of `bootstrap`.
    """
    values = np.asarray(values, np.float64)
    which, num_documents = _numbered(documents)
    members = _membership(which, num_documents)
    flat = values.reshape(-1, values.shape[-1])
    sums = (members.T @ flat.T).T.reshape(*values.shape[:-1], num_documents)
    return ratio(sums, np.bincount(which, minlength=num_documents), **options)


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
    which, num_documents = _numbered(documents)
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
        probe: False: logistic regression on a cubic spline of each feature, so that a feature that only bends another
            one adds nothing. True: a linear probe of many features (ridge regression).
        num_folds: Parts that the documents are divided into.

    Returns:
        `[item]`, higher where a positive label is more likely.

    Raises:
        NotMeasurableError: One class only, or fewer documents than `MIN_DOCUMENTS`.
    """
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer, StandardScaler

    labels = check_labels(labels)
    which, num_documents = _numbered(documents)
    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents are too few to hold some out; give at least {MIN_DOCUMENTS}"
        )
    model = (
        make_pipeline(StandardScaler(), RidgeClassifier(alpha=10.0))
        if probe
        else make_pipeline(
            SplineTransformer(n_knots=5, knots="quantile", extrapolation="linear"),
            StandardScaler(),
            LogisticRegression(solver="newton-cholesky"),
        )
    )
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=0)
    features = np.asarray(features)
    return np.asarray(
        cross_val_predict(model, features, labels, groups=which, cv=folds, method="decision_function"), np.float64
    )


@dataclass(frozen=True)
class PairedTest:
    """Two-sided Wilcoxon signed-rank test of paired differences.

    Attributes:
        num_pairs: Pairs given.
        num_different: Pairs that differ; the test is on these.
        mean_difference: Mean of the differences with its interval, pairs resampled.
        share_positive: Share of all pairs whose difference is above 0.
        effect_size: Matched-pairs rank-biserial correlation, -1 to 1: 1 if every difference is above 0.
        p_value: Not corrected; see `holm`.
    """

    num_pairs: int
    num_different: int
    mean_difference: Estimate
    share_positive: float
    effect_size: float
    p_value: float


def wilcoxon(differences: ArrayLike, **options: Any) -> PairedTest:
    """Test whether paired differences centre on 0.

    Args:
        differences: `[pair]`.
        **options: Of `bootstrap`, for the mean's interval.

    Raises:
        NotMeasurableError: There are fewer than `MIN_DOCUMENTS` pairs.

    Source:
        Kerby 2014, "The simple difference formula" (the effect size).
    """
    from scipy import stats

    differences = np.asarray(differences, np.float64)
    mean_difference = ratio(differences, np.ones_like(differences), **options)
    different = differences[differences != 0]
    share_positive = float((differences > 0).mean())
    if not len(different):  # nothing to rank: the pairs are equal
        return PairedTest(len(differences), 0, mean_difference, share_positive, 0.0, 1.0)
    p_value = float(stats.wilcoxon(different).pvalue)
    positive_ranks = float(stats.wilcoxon(different, alternative="greater").statistic)
    all_ranks = len(different) * (len(different) + 1) / 2
    effect_size = 2 * positive_ranks / all_ranks - 1
    return PairedTest(len(differences), len(different), mean_difference, share_positive, effect_size, p_value)


def holm(p_values: Sequence[float] | Array) -> Array:
    """Correct p-values for their number (Holm 1979); NaNs stay, and count for nothing."""
    from statsmodels.stats.multitest import multipletests

    p_values = np.asarray(p_values, np.float64)
    corrected = np.full_like(p_values, np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        corrected[known] = multipletests(p_values[known], method="holm")[1]
    return corrected


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of whether a difference lies within a margin of 0.

    Attributes:
        difference: The mean or overall difference.
        margin: Differences smaller than this count as none; in the difference's unit.
        low: Lower end of the interval of level 1 - 2 alpha; what lies below it is excluded.
        high: Its upper end; what lies above it is excluded.
        p_value: Of the hypothesis that the difference is as large as the margin or larger.
        equivalent: Whether that hypothesis is rejected.
        num_units: Pairs or documents.
    """

    difference: float
    margin: float
    low: float
    high: float
    p_value: float
    equivalent: bool
    num_units: int

    @property
    def smallest_margin(self) -> float:
        """The margin from which on this sample shows equivalence."""
        return max(abs(self.low), abs(self.high))

    def __str__(self) -> str:
        excluded = f"excludes differences below {self.low:+.4g} and above {self.high:+.4g}"
        if self.equivalent:
            return f"equivalent within ±{self.margin:g}: {excluded}"
        return f"not shown equivalent within ±{self.margin:g}: {excluded}, no more"


def equivalence_of_pairs(differences: ArrayLike, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test equivalence across pairs, such as models that share a seed, by two one-sided paired t-tests.

    Args:
        differences: `[pair]`.
        margin: Differences smaller than this count as none.
        alpha: Level of each test.

    Raises:
        NotMeasurableError: There is one pair only, or the differences do not vary.

    Source:
        Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
    """
    from statsmodels.stats.weightstats import DescrStatsW

    differences = np.asarray(differences, np.float64)
    if len(differences) < 2 or not np.ptp(differences) > 0:
        raise NotMeasurableError(
            f"{len(differences)} differences without spread show no equivalence; give at least 2 pairs that differ"
        )
    described = DescrStatsW(differences)
    p_value = float(described.ttost_mean(-margin, margin)[0])
    low, high = (float(end) for end in described.tconfint_mean(alpha=2 * alpha))
    return Equivalence(float(described.mean), margin, low, high, p_value, p_value < alpha, len(differences))


def equivalence_of_estimate(difference: Estimate, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test equivalence of a single bootstrapped difference, such as a loss over documents.

    The two one-sided tests ask whether the interval of level 1 - 2 alpha lies within the margin.
    """
    interval = difference.at_level(1 - 2 * alpha)
    beyond = np.array([(difference.replicates <= -margin).sum(), (difference.replicates >= margin).sum()])
    p_value = float((beyond.max() + 1) / (difference.replicates.shape[-1] + 1))
    low, high = float(interval.low), float(interval.high)
    equivalent = -margin < low and high < margin
    return Equivalence(float(difference.value), margin, low, high, p_value, equivalent, difference.num_documents)


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient, its 95% interval and the p-value of there being none."""

    value: float
    low: float
    high: float
    p_value: float
    num_pairs: int


def correlation(x: ArrayLike, y: ArrayLike, *, rank: bool = False, seed: int = 0) -> Correlation:
    """Pearson's correlation, or Spearman's rank correlation.

    Pearson's interval is by Fisher's transformation, Spearman's resamples the pairs.

    Args:
        x: `[pair]`.
        y: `[pair]`.
        rank: Whether to correlate ranks.
        seed: Of the resampling.

    Raises:
        NotMeasurableError: There are fewer than `MIN_DOCUMENTS` pairs, or one side does not vary.
    """
    from scipy import stats

    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < MIN_DOCUMENTS or not np.ptp(x) > 0 or not np.ptp(y) > 0:
        raise NotMeasurableError(
            f"{len(x)} pairs cannot be correlated; give at least {MIN_DOCUMENTS} in which both sides vary"
        )
    if not rank:
        pearson = stats.pearsonr(x, y)
        interval = pearson.confidence_interval(LEVEL)
        return Correlation(
            float(pearson.statistic), float(interval.low), float(interval.high), float(pearson.pvalue), len(x)
        )
    spearman = stats.spearmanr(x, y)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            (x, y),
            lambda a, b, axis: _rank_correlation(a, b),
            paired=True,
            vectorized=True,
            n_resamples=NUM_RESAMPLES,
            method="percentile",
            confidence_level=LEVEL,
            rng=seed,
        ).confidence_interval
    return Correlation(float(spearman.statistic), float(drawn.low), float(drawn.high), float(spearman.pvalue), len(x))


def _rank_correlation(x: Array, y: Array) -> Array:
    """Spearman's correlation along the last axis."""
    from scipy.stats import rankdata

    x, y = (rankdata(side, axis=-1) for side in (x, y))
    x, y = (side - side.mean(axis=-1, keepdims=True) for side in (x, y))
    return np.asarray((x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def _numbered(documents: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Number the documents from 0; `[item]` and how many there are."""
    names, which = np.unique(np.asarray(documents), return_inverse=True)
    return which.astype(np.int64), len(names)


def _weights(drawn: NDArray[np.int64], num_documents: int) -> Array:
    """How often each document was drawn, from the documents drawn `[resample, draw]`: `[resample, document]`."""
    drawn = np.atleast_2d(drawn)
    shifted = drawn + num_documents * np.arange(len(drawn))[:, None]
    return np.bincount(shifted.ravel(), minlength=len(drawn) * num_documents).reshape(len(drawn), -1).astype(np.float64)


def _membership(documents: NDArray[np.int64], num_documents: int) -> Any:
    """Sparse `[item, document]`, 1 where the item is of the document."""
    from scipy.sparse import csr_array

    num_items = len(documents)
    return csr_array((np.ones(num_items), documents, np.arange(num_items + 1)), shape=(num_items, num_documents))


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

"""Tests of paired differences, of equivalence and of correlation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.resampling import (
    LEVEL,
    MIN_DOCUMENTS,
    NUM_RESAMPLES,
    Array,
    Estimate,
    ratio,
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

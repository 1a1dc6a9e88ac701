"""Tests of paired differences, of equivalence and of correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.resampling import ratio
from howfar.measures.statistics.studentised import LEVEL, MIN_DOCUMENTS, Array


@dataclass(frozen=True)
class PairedTest:
    """Two-sided Wilcoxon signed-rank test of paired differences.

    Attributes:
        num_pairs: Number of pairs.
        num_different: Pairs that differ; only these are tested.
        mean_difference: Mean of the differences, with its bootstrap interval over pairs.
        share_positive: Share of all pairs whose difference is above 0.
        effect_size: Matched-pairs rank-biserial correlation, -1 to 1: 1 if every difference is above 0.
        p_value: Not corrected for multiple tests; see `holm`.
    """

    num_pairs: int
    num_different: int
    mean_difference: Estimate
    share_positive: float
    effect_size: float
    p_value: float


def wilcoxon(differences: ArrayLike, **options: Any) -> PairedTest:
    """Test whether paired differences are centred on 0.

    Args:
        differences: `[pair]`.
        **options: Passed to `bootstrap`, for the mean's interval.

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
    """Correct p-values for multiple tests (Holm 1979); NaNs stay and are not counted."""
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
        margin: Smaller differences are considered negligible; in the difference's unit.
        low: Lower end of the interval of level 1 - 2 alpha.
        high: Its upper end.
        p_value: Of the hypothesis that the difference is at least as large as the margin.
        equivalent: Whether that hypothesis is rejected.
        num_units: Number of pairs, seeds or documents.
    """

    difference: float
    margin: float
    low: float
    high: float
    p_value: float
    equivalent: bool
    num_units: int

    @property
    def is_beyond(self) -> bool:
        """Whether the interval lies wholly outside the margin, so the difference is shown to exceed it."""
        return self.low > self.margin or self.high < -self.margin

    def __str__(self) -> str:
        verdict = f"{'' if self.equivalent else 'not shown '}equivalent within ±{self.margin:g}"
        return f"{verdict}: excludes differences below {self.low:+.4g} and above {self.high:+.4g}"


def check_pairs(differences: Array) -> None:
    """Refuse differences of pairs of models that tell nothing about further pairs.

    Raises:
        NotMeasurableError: There are fewer than two, or they are equal.
    """
    if len(differences) < 2:
        raise NotMeasurableError("fewer than two pairs of models tell nothing about others; give at least 2")
    if not np.ptp(differences) > 0:
        raise NotMeasurableError(
            f"{len(differences)} differences that do not vary show no equivalence; give at least 2 pairs that differ"
        )


def equivalence_of_estimate(difference: Estimate, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test equivalence of a single bootstrapped difference, for example of the loss over documents.

    Two one-sided tests at level alpha: the interval of level 1 - 2 alpha must lie within the margin.

    Source:
        Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
    """
    interval = difference.at_level(1 - 2 * alpha)
    nearer = margin if difference.value >= 0 else -margin
    p_value = float(difference.p_value(nearer)) / 2
    if not abs(difference.value) < margin:
        p_value = 1 - p_value
    low, high = float(interval.low), float(interval.high)
    return Equivalence(float(difference.value), margin, low, high, p_value, p_value < alpha, difference.num_documents)


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient, its 95% interval and the p-value against a correlation of 0."""

    value: float
    low: float
    high: float
    p_value: float
    num_pairs: int

    def row(self) -> dict[str, float]:
        """The coefficient, the ends of its interval and the p-value, by column name."""
        return {"value": self.value, "low": self.low, "high": self.high, "p_value": self.p_value}


def correlation(x: ArrayLike, y: ArrayLike, *, rank: bool = False) -> Correlation:
    """Pearson's correlation, or Spearman's rank correlation, with an interval by Fisher's transformation.

    Args:
        x: `[pair]`.
        y: `[pair]`.
        rank: Whether to correlate ranks.

    Raises:
        NotMeasurableError: There are fewer than `MIN_DOCUMENTS` pairs, or `x` or `y` does not vary.

    Source:
        Bonett & Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations"
        (the interval of rank correlations).
    """
    from scipy import stats

    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < MIN_DOCUMENTS or not np.ptp(x) > 0 or not np.ptp(y) > 0:
        raise NotMeasurableError(
            f"{len(x)} pairs cannot be correlated; give at least {MIN_DOCUMENTS} in which both variables vary"
        )
    if not rank:
        pearson = stats.pearsonr(x, y)
        interval = pearson.confidence_interval(LEVEL)
        return Correlation(
            float(pearson.statistic), float(interval.low), float(interval.high), float(pearson.pvalue), len(x)
        )
    spearman = stats.spearmanr(x, y)
    value = float(spearman.statistic)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt((1 + value**2 / 2) / (len(x) - 3))
    with np.errstate(divide="ignore"):
        low, high = (float(np.tanh(np.arctanh(value) + sign * reach)) for sign in (-1, 1))
    return Correlation(value, low, high, float(spearman.pvalue), len(x))

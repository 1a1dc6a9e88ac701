"""Correlations of independent pairs, and of items (for example tokens) with intervals over their documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.resampling import bootstrap
from howfar.measures.statistics.studentised import LEVEL, MIN_DOCUMENTS, Array


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
    """Pearson's correlation of pairs, or Spearman's of their ranks, with an interval by Fisher's transformation.

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
    # The same ranks on both sides do not show that other pairs have them too: 1 is at most a step from the next value.
    most = 1 - 6 / (len(x) * (len(x) ** 2 - 1))
    inner = np.arctanh(np.clip(value, -most, most))
    low, high = (float(np.tanh(inner + sign * reach)) for sign in (-1, 1))
    low, high = min(low, value), max(high, value)
    return Correlation(value, low, high, float(spearman.pvalue), len(x))


def rank_correlation(x: ArrayLike, y: ArrayLike, documents: ArrayLike, **options: Any) -> Estimate:
    """Spearman's correlation over items; every resample uses the ranks among all items.

    Raises:
        NotMeasurableError: `x` or `y` does not vary, or there are too few documents.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(np.asarray(side, np.float64)) for side in (x, y)]
    if any(np.ptp(side) == 0 for side in ranks):
        raise NotMeasurableError("a variable is the same for all items, so no correlation exists; give items that vary")
    a, b = (side - side.mean() for side in ranks)
    names, which = np.unique(np.asarray(documents), return_inverse=True)
    moments = np.stack([np.bincount(which, v, len(names)) for v in (np.ones_like(a), a, b, a * a, b * b, a * b)])

    def from_sums(sums: Array) -> Array:
        n, sum_x, sum_y, sum_xx, sum_yy, sum_xy = sums
        covariance, variance_x, variance_y = n * sum_xy - sum_x * sum_y, n * sum_xx - sum_x**2, n * sum_yy - sum_y**2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(covariance / np.sqrt(variance_x * variance_y))

    left_out = from_sums(moments.sum(axis=1, keepdims=True) - moments)
    return bootstrap(
        lambda weights: from_sums(moments @ weights.T), len(names), left_out=left_out, limits=(-1.0, 1.0), **options
    )

"""Correlations over items, for example tokens, with bootstrap intervals over their documents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.resampling import bootstrap
from howfar.measures.statistics.studentised import Array


def rank_correlation(x: ArrayLike, y: ArrayLike, documents: ArrayLike, **options: Any) -> Estimate:
    """Spearman's correlation over items; every resample uses the ranks among all items.

    Args:
        x: `[item]`.
        y: `[item]`.
        documents: `[item]`, the document of each item; any integers.
        **options: Passed to `bootstrap`.

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

    def correlate(weights: Array) -> Array:
        return from_sums(moments @ weights.T)

    def from_sums(sums: Array) -> Array:
        n, sum_x, sum_y, sum_xx, sum_yy, sum_xy = sums
        covariance, variance_x, variance_y = n * sum_xy - sum_x * sum_y, n * sum_xx - sum_x**2, n * sum_yy - sum_y**2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(covariance / np.sqrt(variance_x * variance_y))

    left_out = from_sums(moments.sum(axis=1, keepdims=True) - moments)
    return bootstrap(correlate, len(names), left_out=left_out, limits=(-1.0, 1.0), **options)

"""Intervals over models of one kind: seeds are resampled as it were, and documents within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import LEVEL, Array, Estimate
from howfar.measures.statistics.inference import Equivalence


@dataclass(frozen=True)
class OverSeeds:
    """The mean of a statistic over models that differ in their seed, all of which read the same documents.

    Its variance is that of seeds, which a few models say little about, and that of documents: an interval is by
    Student's t with as many degrees of freedom as the two together have.

    Attributes:
        value: The mean over seeds.
        error: Its standard error, of seeds and documents together.
        degrees: Degrees of freedom.
        seed_share: How much of the variance of a single model's value is its seed's, 0 to 1; documents' is the rest.
        num_seeds: Models.
        num_documents: Documents.

    Source:
        Satterthwaite 1946, "An approximate distribution of estimates of variance components".
    """

    value: float
    error: float
    degrees: float
    seed_share: float
    num_seeds: int
    num_documents: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The interval of a level."""
        from scipy import stats

        if not self.error:
            return self.value, self.value
        reach = float(stats.t.ppf((1 + level) / 2, self.degrees)) * self.error
        return self.value - reach, self.value + reach

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p-value of the mean over all seeds and documents being `null`."""
        from scipy import stats

        return float(2 * stats.t.sf(abs(self.value - null) / self.error, self.degrees))

    def equivalence(self, margin: float, *, alpha: float = 0.05) -> Equivalence:
        """Two one-sided tests of whether the mean lies within a margin of 0."""
        from scipy import stats

        low, high = self.interval(1 - 2 * alpha)
        p_value = float(stats.t.sf((margin - abs(self.value)) / self.error, self.degrees))
        return Equivalence(self.value, margin, low, high, p_value, p_value < alpha, self.num_seeds)


def over_seeds(estimates: Sequence[Estimate]) -> OverSeeds:
    """Put single models' estimates together.

    Args:
        estimates: A single statistic of each model; the same documents in all.

    Raises:
        NotMeasurableError: There is one model only, or they do not differ.
    """
    values = np.array([float(estimate.value) for estimate in estimates])
    num_seeds, num_documents = len(values), estimates[0].num_documents
    if num_seeds < 2 or not np.ptp(values) > 0:
        raise NotMeasurableError(
            f"{num_seeds} differences without spread show no equivalence; give at least 2 pairs that differ"
        )
    left_out = np.stack([estimate.left_out for estimate in estimates])
    of_seeds = float(values.var(ddof=1)) / num_seeds
    of_documents = float(_variance(left_out.mean(axis=0)))
    # What documents do to each model in its own way stands in both.
    in_both = float(_variance(left_out - left_out.mean(axis=0)).sum()) / (num_seeds - 1) / num_seeds
    variance = max(of_seeds + of_documents - in_both, of_seeds, of_documents)
    degrees = variance**2 / (of_seeds**2 / (num_seeds - 1) + of_documents**2 / (num_documents - 1))
    seed_alone, single = max(0.0, num_seeds * (of_seeds - in_both)), float(_variance(left_out).mean())
    share = seed_alone / (seed_alone + single) if seed_alone + single else 0.0
    return OverSeeds(float(values.mean()), float(np.sqrt(variance)), degrees, share, num_seeds, num_documents)


def over_intervals(values: ArrayLike, low: ArrayLike, high: ArrayLike, num_documents: int) -> OverSeeds:
    """Put single models' values together where no more is known than their 95% intervals over the same documents.

    What documents do is taken to be the same in all models, so it does not shrink with their number; `seed_share` is
    the most that it can be.

    Args:
        values: `[model]`.
        low: Lower ends, `[model]`.
        high: Upper ends, `[model]`.
        num_documents: That the intervals are over.
    """
    from scipy import stats

    values, num_seeds = np.asarray(values, np.float64), len(np.asarray(values))
    errors = np.subtract(high, low) / 2 / stats.t.ppf((1 + LEVEL) / 2, max(1, num_documents - 1))
    of_seeds, of_documents = float(values.var(ddof=1)) / num_seeds, float(np.square(errors).mean())
    variance = of_seeds + of_documents
    spread = of_seeds**2 / (num_seeds - 1) + of_documents**2 / max(1, num_documents - 1)
    share = num_seeds * of_seeds / (num_seeds * of_seeds + of_documents) if variance else 0.0
    degrees = variance**2 / spread if spread else np.inf
    return OverSeeds(float(values.mean()), float(np.sqrt(variance)), degrees, share, num_seeds, num_documents)


def _variance(left_out: Array) -> Array:
    """The jackknife's, from values without each document `[..., document]`."""
    num = left_out.shape[-1]
    return np.asarray(left_out.var(axis=-1) * (num - 1))

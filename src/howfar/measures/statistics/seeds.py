"""Intervals over models that differ only in their seed: the variance of seeds and of documents together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.inference import Equivalence
from howfar.measures.statistics.studentised import LEVEL, Array


@dataclass(frozen=True)
class OverSeeds:
    """The mean of a statistic over models that differ only in their seed and read the same documents.

    Its variance has two components, seeds and documents. A few models give a poor estimate of the first, so intervals
    use Student's t with the effective degrees of freedom of the sum (Satterthwaite).

    Source:
        Satterthwaite 1946, "An approximate distribution of estimates of variance components".
    """

    value: float  # the mean over seeds
    error: float  # its standard error, of seeds and documents together
    degrees: float  # effective degrees of freedom
    seed_share: float  # the share of a single model's variance that is due to its seed, 0 to 1; the rest is documents'
    num_seeds: int
    num_documents: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The interval with a given coverage."""
        from scipy import stats

        if not self.error:
            return self.value, self.value
        reach = float(stats.t.ppf((1 + level) / 2, self.degrees)) * self.error
        return self.value - reach, self.value + reach

    def equivalence(self, margin: float, *, alpha: float = 0.05) -> Equivalence:
        """Two one-sided tests of whether the mean lies within a margin of 0."""
        from scipy import stats

        low, high = self.interval(1 - 2 * alpha)
        p_value = float(stats.t.sf((margin - abs(self.value)) / self.error, self.degrees))
        return Equivalence(self.value, margin, low, high, p_value, p_value < alpha, self.num_seeds)


def over_seeds(estimates: Sequence[Estimate]) -> OverSeeds:
    """Combine the estimates of single models, all on the same documents.

    Raises:
        NotMeasurableError: There are fewer than two models, or their values are equal.
    """
    values = np.array([float(estimate.value) for estimate in estimates])
    num_seeds, num_documents = len(values), estimates[0].num_documents
    if num_seeds < 2:
        raise NotMeasurableError("fewer than two pairs of models tell nothing about others; give at least 2")
    if not np.ptp(values) > 0:
        raise NotMeasurableError(
            f"{num_seeds} differences that do not vary show no equivalence; give at least 2 pairs that differ"
        )
    left_out = np.stack([estimate.left_out for estimate in estimates])
    of_seeds = float(values.var(ddof=1)) / num_seeds
    of_documents = float(_variance(left_out.mean(axis=0)))
    # The interaction of seeds and documents is counted in both.
    interaction = float(_variance(left_out - left_out.mean(axis=0)).sum()) / (num_seeds - 1) / num_seeds
    variance = max(of_seeds + of_documents - interaction, of_seeds, of_documents)
    degrees = variance**2 / (of_seeds**2 / (num_seeds - 1) + of_documents**2 / (num_documents - 1))
    seed_alone, single = max(0.0, num_seeds * (of_seeds - interaction)), float(_variance(left_out).mean())
    share = seed_alone / (seed_alone + single) if seed_alone + single else 0.0
    return OverSeeds(float(values.mean()), float(np.sqrt(variance)), degrees, share, num_seeds, num_documents)


def over_intervals(values: ArrayLike, low: ArrayLike, high: ArrayLike, num_documents: int) -> OverSeeds:
    """Combine single models' values if only their 95% intervals over the same documents are known.

    The effect of documents is assumed to be the same in all models, so averaging over models does not reduce it;
    `seed_share` is an upper bound.

    Args:
        values: `[model]`, as are the ends of the intervals, `low` and `high`.
        num_documents: Number of documents behind each interval.
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
    """The jackknife variance `[...]`, from values without each document `[..., document]`."""
    num = left_out.shape[-1]
    return np.asarray(left_out.var(axis=-1) * (num - 1))

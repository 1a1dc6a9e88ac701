"""Tests of paired differences and of equivalence, shares of right answers, and intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.resampling import numbered, ratio
from howfar.measures.statistics.studentised import LEVEL, Array


@dataclass(frozen=True)
class PairedTest:
    """Two-sided Wilcoxon signed-rank test of paired differences, of which some may belong together."""

    num_pairs: int
    num_different: int  # groups of pairs whose mean difference is not 0; only these are tested
    mean_difference: Estimate  # over pairs, with its bootstrap interval over groups
    share_positive: float  # share of all pairs whose difference is above 0
    effect_size: float  # matched-pairs rank-biserial correlation, -1 to 1: 1 if every mean difference is above 0
    p_value: float  # not corrected for multiple tests; see `holm`


def wilcoxon(differences: ArrayLike, groups: ArrayLike, **options: Any) -> PairedTest:
    """Test whether paired differences are centred on 0.

    Pairs of a group are not independent, for example names that share a word. So a group is one case: the interval is
    over groups, and the mean differences of groups are ranked.

    Args:
        differences: `[pair]`.
        groups: The group of each pair, any integers, `[pair]`.

    Raises:
        NotMeasurableError: There are fewer than `MIN_DOCUMENTS` groups.

    Source:
        Kerby 2014, "The simple difference formula" (the effect size).
    """
    from scipy import stats

    differences = np.asarray(differences, np.float64)
    which, num_groups = numbered(groups)
    sums, sizes = np.bincount(which, differences, num_groups), np.bincount(which, minlength=num_groups)
    mean_difference = ratio(sums, sizes, **options)
    different = sums[sums != 0] / sizes[sums != 0]
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
    """Two one-sided tests of whether a difference lies within a margin of 0."""

    difference: float  # the mean or overall difference
    margin: float  # smaller differences are considered negligible; in the difference's unit
    low: float  # ends of the interval of level 1 - 2 alpha
    high: float
    p_value: float  # of the hypothesis that the difference is at least as large as the margin
    equivalent: bool  # whether that hypothesis is rejected
    num_units: int  # number of pairs, seeds or documents

    @property
    def is_beyond(self) -> bool:
        """Whether the interval lies wholly outside the margin, so the difference is shown to exceed it."""
        return self.low > self.margin or self.high < -self.margin

    def __str__(self) -> str:
        verdict = f"{'' if self.equivalent else 'not shown '}equivalent within ±{self.margin:g}"
        return f"{verdict}: excludes differences below {self.low:+.4g} and above {self.high:+.4g}"


def equivalence_of_estimate(difference: Estimate, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test equivalence of a single bootstrapped difference, for example of the loss over documents.

    Two one-sided tests at level alpha: the interval of level 1 - 2 alpha must lie within the margin.

    Source:
        Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach".
    """
    interval = replace(difference, level=1 - 2 * alpha)
    nearer = margin if difference.value >= 0 else -margin
    p_value = float(difference.p_value(nearer)) / 2
    if not abs(difference.value) < margin:
        p_value = 1 - p_value
    low, high = float(interval.low), float(interval.high)
    return Equivalence(float(difference.value), margin, low, high, p_value, p_value < alpha, difference.num_documents)


def proportion(right: ArrayLike, documents: ArrayLike) -> dict[str, float]:
    """The share of right answers and its interval, for answers that come in documents.

    A bootstrap sees no variance where all answers are wrong, or all right. This is the exact binomial interval for as
    many independent answers as tell as much as these: fewer where answers of one document resemble each other, never
    more, and one for each document where all answers are alike.

    Args:
        right: Whether each answer is right, `[answer]`.
        documents: The document of each answer, `[answer]`; there must be two or more.

    Returns:
        `value`, `low` and `high`.

    Source:
        Korn & Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data".
    """
    from scipy.stats import t
    from statsmodels.stats.proportion import proportion_confint

    right = np.asarray(right, np.float64)
    _, numbers = np.unique(documents, return_inverse=True)
    num_answers, num_documents = len(right), int(numbers.max()) + 1
    share = float(right.mean())
    residuals = np.bincount(numbers, right - share)  # of each document
    variance = num_documents / (num_documents - 1) * float(np.square(residuals).sum()) / num_answers**2
    num_effective = float(num_documents)
    if variance > 0:
        tails = (1 - LEVEL) / 2
        widening = float(t.ppf(tails, num_documents - 1) / t.ppf(tails, num_answers - 1)) ** 2
        num_effective = min(num_answers, share * (1 - share) / variance / widening)
    low, high = proportion_confint(share * num_effective, num_effective, alpha=1 - LEVEL, method="beta")
    return {"value": share, "low": float(low), "high": float(high)}


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

"""Intervals of any statistic by resampling whole documents."""

from __future__ import annotations

import warnings
from collections.abc import Callable
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
        self._check_paired(other)
        return replace(self, value=self.value - other.value, replicates=self.replicates - other.replicates)

    def __truediv__(self, other: Estimate) -> Estimate:
        """The paired quotient of two statistics of the same documents; broadcasts."""
        self._check_paired(other)
        with np.errstate(invalid="ignore", divide="ignore"):
            return replace(self, value=self.value / other.value, replicates=self.replicates / other.replicates)

    def _check_paired(self, other: Estimate) -> None:
        if self.replicates.shape[-1] != other.replicates.shape[-1] or self.num_documents != other.num_documents:
            raise ValueError("only statistics of the same documents and resamples can be compared")

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
        known = np.asarray(~np.isnan(self.replicates).all(axis=-1))
        filled = np.where(known[..., np.newaxis], self.replicates, 0.0)
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
    which, num_documents = numbered(documents)
    members = _membership(which, num_documents)
    flat = values.reshape(-1, values.shape[-1])
    sums = (members.T @ flat.T).T.reshape(*values.shape[:-1], num_documents)
    return ratio(sums, np.bincount(which, minlength=num_documents), **options)


def numbered(documents: ArrayLike) -> tuple[NDArray[np.int64], int]:
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

"""Intervals and p-values that follow one rule: deviations in standard errors, and how far such deviations reach."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LEVEL = 0.95
MIN_DOCUMENTS = 10
"""With fewer documents, intervals cover the true value too rarely (`benchmarks/coverage.py`)."""


def columns_of(name: str = "value") -> tuple[str, str, str]:
    """Names of a table's columns for an estimate and the ends of its interval."""
    return (name, "low", "high") if name == "value" else (name, f"{name}_low", f"{name}_high")


def or_none(value: float | Array) -> float | None:
    """A single number for a table: None where it is NaN."""
    return None if math.isnan(value) else float(value)


@dataclass(frozen=True)
class Simultaneous:
    """Simultaneous intervals `[...]` of the level asked for, and p-values corrected in the same way."""

    low: Array
    high: Array
    p_value: Array


class Studentised(ABC):
    """A statistic, or an array of them, with intervals and p-values from the distribution of studentised deviations.

    The interval reaches as far as 95% of the deviations; a p-value is the share of deviations that reach at least as
    far as the null hypothesis. So an interval excludes a value if and only if the p-value against it is below
    1 - level.

    Attributes:
        value: `[...]`, in the statistic's unit.
        level: Coverage of the interval from `low` to `high`.
    """

    value: Array
    level: float

    @property
    def low(self) -> Array:
        """Lower end of the interval, `[...]`; NaN where too few documents contribute to the statistic."""
        return self._bounds(self._critical(self._studentised))[0]

    @property
    def high(self) -> Array:
        """Upper end of the interval, `[...]`."""
        return self._bounds(self._critical(self._studentised))[1]

    def row(self, name: str = "value") -> dict[str, float | None]:
        """A single statistic and the ends of its interval, by column name; None where there is no number."""
        return dict(zip(columns_of(name), map(or_none, (self.value, self.low, self.high)), strict=True))

    def p_value(self, null: ArrayLike = 0.0) -> Array:
        """Two-sided p-value `[...]` of the hypothesis that the statistic is `null`."""
        deviations = self._studentised
        reached = (deviations >= self._deviation_from(null)[..., None]).sum(axis=-1)
        return np.where(self._is_carried, (reached + 1) / (deviations.shape[-1] + 1), np.nan)

    def simultaneous(self, null: ArrayLike = 0.0) -> Simultaneous:
        """Simultaneous intervals for all the statistics, so that the best one may be picked afterwards.

        The critical value comes from the largest studentised deviation of any statistic in each resample (single-step
        max-t). Statistics that have no interval by themselves are left out and get none here.

        Args:
            null: The value that the p-values test against.

        Source:
            Romano & Wolf 2005, "Exact and approximate stepdown methods for multiple hypothesis testing".
        """
        deviations = self._studentised
        known = np.isfinite(self._critical(deviations)) & self._is_carried
        largest = np.where(known[..., None], deviations, 0.0).max(axis=tuple(range(self.value.ndim)))
        critical = np.where(known, self._critical(largest), np.nan)
        low, high = self._bounds(critical)
        reached = (largest >= self._deviation_from(null)[..., None]).sum(axis=-1)
        return Simultaneous(low, high, np.where(known, (reached + 1) / (len(largest) + 1), np.nan))

    @abstractmethod
    def __getitem__(self, index: Any) -> Studentised:
        """Some of the statistics."""

    @property
    @abstractmethod
    def num_documents(self) -> int:
        """Number of documents."""

    @property
    @abstractmethod
    def _studentised(self) -> Array:
        """Absolute deviations in standard errors, as chance makes them, `[..., resample]`; infinite without a value."""

    @property
    @abstractmethod
    def _is_carried(self) -> NDArray[np.bool_]:
        """Whether enough documents contribute to the statistic for an interval, `[...]`."""

    @abstractmethod
    def _deviation_from(self, null: ArrayLike) -> Array:
        """Distance of the value from a null value in standard errors, `[...]`."""

    @abstractmethod
    def _bounds(self, critical: Array) -> tuple[Array, Array]:
        """The interval of the null values that deviate by at most `critical` standard errors."""

    def _critical(self, deviations: Array) -> Array:
        """The deviation above which a p-value is below 1 - level, `[...]` from `[..., resample]`."""
        num = deviations.shape[-1]
        most = math.ceil(round((1 - self.level) * (num + 1), 9)) - 2  # the most resamples that may reach as far
        if most < 0:
            return np.full(deviations.shape[:-1], np.inf)
        return np.partition(deviations, num - 1 - most, axis=-1)[..., num - 1 - most]

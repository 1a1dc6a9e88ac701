"""A statistic with its values in bootstrap resamples and its jackknife values, which give its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.measures.statistics.studentised import LEVEL, MIN_DOCUMENTS, Array, Studentised

_ROUNDING = 1e-12  # relative difference of two equal values, and relative variance of equal ones


@dataclass(frozen=True)
class Estimate(Studentised):
    """A statistic, or an array of them, with symmetric bootstrap-t intervals.

    Each resample's deviation is divided by the resample's own standard error, which comes from the documents'
    influences (jackknife).

    Attributes:
        value: `[...]`, in the statistic's unit.
        replicates: `[..., resample]`; NaN where a resample has no value (for example no document with positive items).
        left_out: `[..., document]`, the statistic without each document; NaN where it then has no value.
        draws: `[resample, document]`, how often each resample drew each document.
        num_carriers: `[...]`, how many documents contribute to the statistic; with fewer than `MIN_DOCUMENTS` it has a
            value and no interval.
        level: Coverage of the interval from `low` to `high`.
        limits: The statistic's smallest and largest possible value, if it is bounded. It is then studentised on the
            `arctanh` scale: half the log odds of an AUC, Fisher's z of a correlation; on that of its logarithm if only
            the smallest value is finite. Where a resample reaches a limit, which is infinitely far on that scale, the
            statistic is studentised as it is, and its interval ends there.
        unseen: `[...]`, variance that resampling documents does not show, for example that of fitted models.

    Source:
        Hall 1988, "On symmetric bootstrap confidence intervals"; DiCiccio & Efron 1996, "Bootstrap confidence
        intervals" (bootstrap-t).
    """

    value: Array
    replicates: Array
    left_out: Array
    draws: Array
    num_carriers: NDArray[np.int64]
    level: float = LEVEL
    limits: tuple[float, float] | None = None
    unseen: Array | float = 0.0

    @property
    def num_documents(self) -> int:
        """Number of documents that were resampled."""
        return self.draws.shape[1]

    @cached_property
    def error(self) -> Array:
        """Jackknife standard error, `[...]`; NaN where the statistic has no value without some document."""
        of_documents = np.square(self._influence()).mean(axis=-1) / (self.num_documents - 1)
        return np.sqrt(of_documents + self.unseen)

    def widened(self, variance: Array | float) -> Estimate:
        """The same estimate with further variance `[...]` that resampling documents does not show."""
        return replace(self, unseen=self.unseen + variance)

    def __getitem__(self, index: Any) -> Estimate:
        index = index if isinstance(index, tuple) else (index,)
        last = (*index, ..., slice(None))
        return replace(
            self,
            value=self.value[index],
            replicates=self.replicates[last],
            left_out=self.left_out[last],
            num_carriers=self.num_carriers[index],
            unseen=np.broadcast_to(self.unseen, self.value.shape)[index],
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference of two statistics of the same documents; broadcasts."""
        return self._with(other, np.subtract).widened(self.unseen + other.unseen)

    def __truediv__(self, other: Estimate) -> Estimate:
        """The paired quotient of two statistics of the same documents; broadcasts.

        It is not negative if neither of them can be.
        """
        found = self._with(other, np.divide)
        if all(one.limits is not None and one.limits[0] >= 0 for one in (self, other)):
            found = replace(found, limits=(0.0, math.inf))
        with np.errstate(invalid="ignore", divide="ignore"):
            return found.widened((self.unseen + np.square(found.value) * other.unseen) / np.square(other.value))

    def _with(self, other: Estimate, operation: np.ufunc) -> Estimate:
        if self.draws.shape != other.draws.shape or not np.array_equal(self.draws, other.draws):
            raise ValueError("only statistics of the same documents and resamples can be compared")
        with np.errstate(invalid="ignore", divide="ignore"):
            value, replicates, left_out = (
                np.asarray(operation(getattr(self, name), getattr(other, name)))
                for name in ("value", "replicates", "left_out")
            )
        num_carriers = np.minimum(self.num_carriers, other.num_carriers)
        return Estimate(value, replicates, left_out, self.draws, num_carriers, self.level)

    @property
    def _is_carried(self) -> NDArray[np.bool_]:
        """Whether enough documents contribute to the statistic for an interval, `[...]`."""
        return ~np.isnan(self.error) & (self.num_carriers >= MIN_DOCUMENTS)

    def _influence(self) -> Array:
        """Each document's influence on the statistic, `[..., document]`; their mean is 0."""
        return (self.num_documents - 1) * (self.left_out.mean(axis=-1, keepdims=True) - self.left_out)

    @cached_property
    def _studentised(self) -> Array:
        """Each resample's absolute deviation in standard errors, `[..., resample]`; infinite if it has no value."""
        influence, num = self._influence(), self.num_documents
        square = np.square(influence) @ self.draws.T / num
        variance = square - np.square(influence @ self.draws.T / num)
        error = np.sqrt(np.where(variance > _ROUNDING * square, variance, 0.0) / (num - 1))
        size = np.abs(self.value)[..., None] + 1.0
        equal = np.abs(self.replicates - self.value[..., None]) <= _ROUNDING * size
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = np.abs(self._scaled(self.replicates) - self._scaled(self.value)[..., None])
            studentised = deviation / (error * self._slope()[..., None])
        return np.where(equal, 0.0, np.where(np.isnan(studentised), np.inf, studentised))

    def _deviation_from(self, null: ArrayLike) -> Array:
        """Distance of the value from a null value in standard errors, `[...]`."""
        null = np.broadcast_to(np.asarray(null, np.float64), self.value.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = np.abs(self._scaled(self.value) - self._scaled(null)) / (self.error * self._slope())
        return np.where(self.value == null, 0.0, deviation)

    def _bounds(self, critical: Array) -> tuple[Array, Array]:
        """The interval that reaches `critical` standard errors to either side."""
        with np.errstate(invalid="ignore"):
            reach = np.where(self.error == 0, 0.0, critical * self.error)
            centre, scaled = self._scaled(self.value), reach * self._slope()
            low, high = self._unscaled(centre - scaled), self._unscaled(centre + scaled)
        known = np.isfinite(reach) & self._is_carried
        fixed = (reach == 0) & self._is_carried
        low, high = (np.where(fixed, self.value, np.where(known, end, np.nan)) for end in (low, high))
        return low, high

    @property
    def _ends(self) -> tuple[float, float] | None:
        """The limits, if the smaller one is finite; a scale needs no more."""
        return None if self.limits is None or math.isinf(self.limits[0]) else self.limits

    @cached_property
    def _reaches_limit(self) -> NDArray[np.bool_]:
        """Whether a resample has the smallest or largest possible value, `[...]`."""
        low, high = self._ends or (-math.inf, math.inf)
        margin = _ROUNDING * (high - low if math.isfinite(high) else 1.0)
        reaches = (self.replicates <= low + margin) | (self.replicates >= high - margin)
        return np.asarray(reaches.any(axis=-1))

    def _scaled(self, values: Array) -> Array:
        """Values `[...]` or `[..., resample]` on the scale on which they are studentised."""
        if self._ends is None:
            return values
        low, high = self._ends
        as_it_is = self._reaches_limit[..., *[None] * (values.ndim - self.value.ndim)]
        with np.errstate(invalid="ignore", divide="ignore"):
            if math.isinf(high):
                scaled = np.log(np.maximum(values - low, 0.0))
            else:
                scaled = np.arctanh(np.clip(2 * (values - low) / (high - low) - 1, -1, 1))
        return np.where(as_it_is, values, scaled)

    def _unscaled(self, values: Array) -> Array:
        if self._ends is None:
            return values
        low, high = self._ends
        with np.errstate(over="ignore"):
            unscaled = low + (np.exp(values) if math.isinf(high) else (np.tanh(values) + 1) / 2 * (high - low))
        return np.where(self._reaches_limit, np.clip(values, low, high), unscaled)

    def _slope(self) -> Array:
        """Derivative of the scale at the value, `[...]`."""
        if self._ends is None:
            return np.ones_like(self.value)
        low, high = self._ends
        half, above = (high - low) / 2, self.value - low
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = 1 / (above if math.isinf(high) else half * (1 - np.square(above / half - 1)))
        return np.where(self._reaches_limit, 1.0, slope)

"""How much additions to a fitted model raise its AUC, with an error that holds for useless and for useful additions.

A useless addition is like the same addition permuted, so the spread of permuted additions is the whole error of a
useless one: of fitting it and of scoring with it. Resampling documents does not show this. It keeps the fitted models,
and it counts twice that two nearly equal scores order a few pairs differently.

The gain of a useful addition varies more. Near none it is the square of the addition's effect, so its variance rises
with the gain, linearly. A null hypothesis therefore has a variance of its own, and an interval consists of the gains
that the one found does not contradict, each with its variance (Wilson's interval of a proportion is the like).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.measures.statistics.cross_fitting import CrossFitted
from howfar.measures.statistics.discrimination import roc_auc
from howfar.measures.statistics.studentised import LEVEL, MIN_DOCUMENTS, Array, Studentised

_NUM_DRAWS = 9999


@dataclass(frozen=True)
class Gains(Studentised):
    """Gains, with intervals that use Student's t, because few permuted additions show the error."""

    value: Array  # `[...]`, the gains
    useless: Array  # `[...]`, variance of the gain of a useless addition
    growth: Array  # `[...]`, by how much the variance rises per unit of gain
    influences: Array  # `[..., document]`, each document's influence, which tells how gains are correlated
    num_carriers: NDArray[np.int64]  # `[...]`, how many documents contribute
    degrees: float  # of freedom of the variance
    level: float = LEVEL  # coverage of the interval from `low` to `high`
    seed: int = 0  # of the draws of Student's t

    @property
    def num_documents(self) -> int:
        """Number of documents."""
        return self.influences.shape[-1]

    @property
    def error(self) -> Array:
        """Standard error where the true gain is the one found, `[...]`."""
        return np.sqrt(self._variance(self.value))

    def __getitem__(self, index: Any) -> Gains:
        index = index if isinstance(index, tuple) else (index,)
        each = {name: getattr(self, name)[index] for name in ("value", "useless", "growth", "num_carriers")}
        return replace(self, **each, influences=self.influences[(*index, ..., slice(None))])

    @cached_property
    def _studentised(self) -> Array:
        """Draws of a multivariate t whose correlations are those of the influences."""
        flat = np.nan_to_num(self.influences).reshape(-1, self.num_documents)  # a gain without a value has no interval
        length = np.linalg.norm(flat, axis=-1, keepdims=True)
        unit = np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
        sizes, directions = np.linalg.eigh(unit @ unit.T)
        root = directions * np.sqrt(np.maximum(sizes, 0.0))
        generator = np.random.default_rng(self.seed)
        normal = root @ generator.normal(size=(len(root), _NUM_DRAWS))
        deviations = np.abs(normal) / np.sqrt(generator.chisquare(self.degrees, _NUM_DRAWS) / self.degrees)
        return deviations.reshape(*self.value.shape, _NUM_DRAWS)

    @property
    def _is_carried(self) -> NDArray[np.bool_]:
        return np.isfinite(self.error) & (self.num_carriers >= MIN_DOCUMENTS)

    def _variance(self, gain: Array) -> Array:
        return np.asarray(self.useless + self.growth * np.maximum(gain, 0.0))

    def _deviation_from(self, null: ArrayLike) -> Array:
        null = np.asarray(null, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = np.abs(self.value - null) / np.sqrt(self._variance(null))
        return np.where(self.value == null, 0.0, deviation)

    def _bounds(self, critical: Array) -> tuple[Array, Array]:
        """The gains whose squared distance from the one found is at most their variance times `critical` squared."""
        reach = critical * np.sqrt(self.useless)
        low, high = self.value - reach, self.value + reach  # where these are not positive, the variance does not grow
        half = np.square(critical) * self.growth / 2
        root = np.sqrt(np.square(half) + 2 * half * np.maximum(self.value, -reach) + np.square(reach))
        low = np.where(low > 0, self.value + half - root, low)
        high = np.where(high > 0, self.value + half + root, high)
        return np.where(self._is_carried, low, np.nan), np.where(self._is_carried, high, np.nan)


@dataclass(frozen=True)
class Additions:
    """Cross-fitted scores of a baseline model, and of models that have further features."""

    base: CrossFitted  # scores `[item]`
    more: CrossFitted  # the baseline with each addition, `[addition, item]`
    permuted: CrossFitted
    """The baseline with each addition permuted among items, several times: `[permutation, addition, item]`. A useless
    feature lowers the score of a fitted model; this shows by how much, and how much that varies."""
    num_coefficients: NDArray[np.int64]  # `[addition]`, how many coefficients each addition has

    def gains(
        self, labels: ArrayLike, documents: ArrayLike, *, strata: Sequence[ArrayLike] = (), seed: int = 0
    ) -> Gains:
        """How much each addition raises the AUC, compared with the same addition permuted; `[addition]`.

        The variance of a useless addition is that of permuted ones, over all additions, which may differ in it, with
        Satterthwaite's degrees of freedom. What documents show of an addition beyond what they show of permuted ones is
        due to its gain.

        Args:
            strata: As for `roc_auc`, beside the folds.

        Source:
            Satterthwaite 1946, "An approximate distribution of estimates of variance components".

        Raises:
            NotMeasurableError: As `roc_auc`.
        """
        more, permuted = (
            roc_auc(models.scores, labels, documents, strata=[models.folds, *strata], num_resamples=1)
            for models in (self.more, self.permuted)
        )
        value = more.value - permuted.value.mean(axis=0)
        number, num_documents = len(permuted.value), more.num_documents
        share = 1 + 1 / number  # the mean of few permuted additions varies as well
        spreads = permuted.value.var(axis=0, ddof=1)
        spread = spreads.mean()
        useless = np.full_like(value, spread * share)

        average = permuted.left_out.mean(axis=0)
        influences, by_permuted = (_influences(found.left_out - average) for found in (more, permuted))
        of_permuted = np.square(by_permuted).sum(axis=(0, -1)).mean() / (number - 1) * share
        beyond = np.maximum(np.square(influences).sum(axis=-1) - of_permuted, 0.0)
        near_none = growth_near_none(spread, self.num_coefficients, len(np.unique(self.more.folds)))
        # A gain within its error says little about its variance, so it counts as one error larger, as near none.
        error = np.sqrt(useless)
        varying = np.maximum(value, 0.0) + error
        growth = np.divide(beyond + near_none * error, varying, out=np.zeros_like(varying), where=error > 0)
        squares = np.square(spreads).mean()
        degrees = min((number - 1) * len(value) * (spread**2 / squares if squares else 1.0), num_documents - 1)
        return Gains(value, useless, growth, influences, more.num_carriers, degrees, seed=seed)


def growth_near_none(spread: float, num_coefficients: NDArray[np.int64], num_folds: int) -> Array:
    """By how much the variance of a gain rises per unit of gain, near none; `[addition]`.

    Let an addition have `p` coefficients, each with an estimated effect of variance `u` in units in which the gain of
    the true effect `m` is `m^2 / 2`. Fitted coefficients that are off by `d` lose `d^2 / 2`. Over `k` folds, the
    variance of a useless addition's gain is then `p u^2 a` with `a = (1 + (2 k - 1)^2 / (k - 1)^3) / 2`; an effect adds
    `m^2 u`, which is `2 u` per unit of gain.

    Args:
        spread: The variance of a useless addition's gain.
        num_coefficients: `[addition]`, `p`.
        num_folds: `k`.
    """
    factor = (1 + (2 * num_folds - 1) ** 2 / (num_folds - 1) ** 3) / 2
    return np.asarray(2 * np.sqrt(spread / (factor * num_coefficients)))


def _influences(left_out: Array) -> Array:
    """Each document's influence; their squares' sum is the jackknife variance."""
    num = left_out.shape[-1]
    return (left_out.mean(axis=-1, keepdims=True) - left_out) * np.sqrt((num - 1) / num)

"""The bootstrap over documents: intervals of any statistic by resampling whole documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.studentised import MIN_DOCUMENTS, Array

Statistic = Callable[[Array], Array]
"""From weights `[resample, document]` to values `[..., resample]`."""

NUM_RESAMPLES = 1000
MANY_DOCUMENTS = 1000
"""From this many contributing documents on, a resample's value is approximated from the documents' influences.
Intervals change by less than a hundredth of their width, and most of the time is saved."""
_BATCH_ELEMENTS = 500_000  # numbers in a batch of resamples, few enough for the processor's cache


def bootstrap(
    statistic: Statistic,
    num_documents: int,
    *,
    left_out: Array | None = None,
    limits: tuple[float, float] | None = None,
    num_carriers: ArrayLike | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    cost: int = 1,
) -> Estimate:
    """Estimate a statistic and its interval by resampling documents.

    Args:
        statistic: From weights `[resample, document]` to values `[..., resample]`.
        num_documents: Number of documents.
        left_out: `[..., document]`, the statistic without each document; computed where None.
        limits: The smallest and the largest possible value of the statistic, if it is bounded.
        num_carriers: `[...]`, how many documents contribute to the statistic; all where None.
        num_resamples: Number of resamples, each of `num_documents` documents drawn with replacement.
        seed: Statistics with the same seed and number of documents share their resamples.
        cost: How many numbers the statistic holds per resample in addition to the weights; bounds the batch size.

    Raises:
        NotMeasurableError: There are fewer than `MIN_DOCUMENTS` documents.
    """
    if num_documents < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_documents} documents give no interval; give at least {MIN_DOCUMENTS}, or split the text into more"
        )
    size = max(1, _BATCH_ELEMENTS // max(num_documents, cost))

    def in_batches(weights: Callable[[int, int], Array], num: int) -> Array:
        parts = [statistic(weights(begin, min(begin + size, num))) for begin in range(0, num, size)]
        return np.concatenate(parts, axis=-1)

    draws = _draws(num_documents, num_resamples, seed)
    if left_out is None:
        left_out = in_batches(lambda begin, end: 1.0 - np.eye(end - begin, num_documents, begin), num_documents)
    value = np.asarray(statistic(np.ones((1, num_documents))))[..., 0]
    carriers = np.broadcast_to(num_documents if num_carriers is None else np.asarray(num_carriers), value.shape)
    if carriers.min() >= MANY_DOCUMENTS:
        influences = (left_out.mean(axis=-1, keepdims=True) - left_out) * (num_documents - 1) / num_documents
        replicates = value[..., None] + influences @ draws.T
    else:
        replicates = in_batches(lambda begin, end: draws[begin:end], num_resamples)
    return Estimate(value, replicates, np.asarray(left_out), draws, carriers, limits=limits)


def ratio(numerators: ArrayLike, denominators: ArrayLike, **options: Any) -> Estimate:
    """A ratio of sums over documents, for example nats per byte or a mean over tokens.

    Args:
        numerators: `[..., document]`, a sum for each document.
        denominators: `[..., document]`, the sum to divide by.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)

    def statistic(weights: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((top @ weights.T) / (bottom @ weights.T))

    with np.errstate(invalid="ignore", divide="ignore"):
        without = [side.sum(axis=-1, keepdims=True) - side for side in (top, bottom)]
        left_out = without[0] / np.where(without[1] > 0, without[1], np.nan)
    options |= {"left_out": left_out, "num_carriers": (bottom > 0).sum(axis=-1), "cost": int(top[..., 0].size)}
    return bootstrap(statistic, top.shape[-1], **options)


def mean(values: ArrayLike, documents: ArrayLike, **options: Any) -> Estimate:
    """The mean over items, for example tokens, with an interval over their documents.

    Args:
        values: `[..., item]`.
    """
    values = np.asarray(values, np.float64)
    which, num_documents = numbered(documents)
    sums = (documents_sum(which, num_documents) @ values.reshape(-1, values.shape[-1]).T).T
    sums = sums.reshape(*values.shape[:-1], num_documents)
    return ratio(sums, np.bincount(which, minlength=num_documents), **options)


def documents_sum(which: NDArray[np.int64], num_documents: int) -> Any:
    """A sparse matrix `[document, item]` that sums items by their document; the numbers are those of `numbered`."""
    from scipy.sparse import csr_array

    shape = (len(which), num_documents)
    return csr_array((np.ones(len(which)), which, np.arange(len(which) + 1)), shape=shape).T


def numbered(documents: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Each item's document, numbered from 0, `[item]`; and the number of documents."""
    names, which = np.unique(np.asarray(documents), return_inverse=True)
    return which.astype(np.int64), len(names)


def groups_of(strata: Sequence[ArrayLike], num_items: int) -> NDArray[np.int64]:
    """The number of each item's combination of strata, each `[item]`; `[item]`."""
    groups = np.zeros(num_items, dtype=np.int64)
    for stratum in strata:
        numbers, num = numbered(stratum)
        groups = numbered(groups * num + numbers)[0]
    return groups


def permutation_within(groups: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation of items that moves each only within its group; `[item]`, from the group of each item."""
    places = np.argsort(groups, kind="stable")
    source = np.empty_like(places)
    source[places] = np.lexsort((generator.random(len(groups)), groups))
    return source


@lru_cache(maxsize=2)
def _draws(num_documents: int, num_resamples: int, seed: int) -> Array:
    """How often each resample draws each document, `[resample, document]`; read-only."""
    generator = np.random.default_rng(seed)
    uniform = np.full(num_documents, 1 / num_documents)
    draws = generator.multinomial(num_documents, uniform, size=num_resamples).astype(np.float64)
    draws.flags.writeable = False
    return draws

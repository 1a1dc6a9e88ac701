"""How well scores tell two classes apart: ROC-AUC with intervals over documents, among all items or within strata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.resampling import bootstrap, groups_of, numbered
from howfar.measures.statistics.studentised import Array

Integers = NDArray[np.int64]
_IN_CACHE = 20_000  # items times resamples in a batch, few enough for the processor's cache


def roc_auc(
    scores: ArrayLike, labels: ArrayLike, documents: ArrayLike, *, strata: Sequence[ArrayLike] = (), **options: Any
) -> Estimate:
    """The probability that a positive item scores higher than a negative one (ties count half).

    Args:
        scores: `[..., item]`, several scores of the same items.
        strata: Each `[item]`, any integers. Only items that agree in all of these are compared, for example those of
            one fold, or those after the same character. All such pairs have equal weight.

    Raises:
        NotMeasurableError: Labels do not vary (within any stratum), a score is not finite, or there are too few
            documents.
    """
    scores, labels = np.asarray(scores, np.float64), check_labels(labels)
    if not np.isfinite(scores).all():
        raise NotMeasurableError("a score is infinite or NaN, so items cannot be ranked; leave such items out")
    which, num_documents = numbered(documents)
    groups = groups_of(strata, len(labels))
    counts = _Comparisons.among(np.zeros(len(labels)), labels, which, groups)
    if not counts.num_all:
        raise NotMeasurableError(
            "no stratum has items of both classes, so there is nothing to compare; give more documents"
        )
    rankings = [_Comparisons.among(row, labels, which, groups) for row in scores.reshape(-1, scores.shape[-1])]
    shape = scores.shape[:-1]

    def statistic(weights: Array) -> Array:
        every = counts.num_compared(weights)
        with np.errstate(invalid="ignore"):
            aucs = [ranking.num_in_order(weights) / every for ranking in rankings]
        return np.stack(aucs).reshape(*shape, len(weights))

    every = 2 * counts.in_order_without(num_documents)  # all pairs of a constant score are ties
    with np.errstate(invalid="ignore", divide="ignore"):
        left_out = np.stack([ranking.in_order_without(num_documents) for ranking in rankings]) / every
    left_out = left_out.reshape(*shape, num_documents)
    options |= {"left_out": left_out, "limits": (0.0, 1.0), "num_carriers": counts.num_documents}
    return bootstrap(statistic, num_documents, **options)


def auc_alone(scores: ArrayLike, labels: ArrayLike, *, strata: Sequence[ArrayLike] = ()) -> Array:
    """The value of `roc_auc` without an interval, `[...]`: much faster; NaN where no pair can be compared."""
    from scipy.stats import rankdata

    labels = np.asarray(labels, dtype=bool)
    groups = groups_of(strata, len(labels))
    num, num_positive = np.bincount(groups), np.bincount(groups, labels)
    num_pairs = (num_positive * (num - num_positive)).sum()
    # Ranks by score, and then by group and score, minus the items of groups before.
    ranks = rankdata(scores, axis=-1)
    if len(num) > 1:
        ranks = rankdata(groups * (len(groups) + 1.0) + ranks, axis=-1)
    before = (np.cumsum(num) - num)[groups]
    num_in_order = (ranks - before)[..., labels].sum(axis=-1) - (num_positive * (num_positive + 1) / 2).sum()
    return num_in_order / num_pairs if num_pairs else np.full(num_in_order.shape, np.nan)


def check_labels(labels: ArrayLike) -> NDArray[np.bool_]:
    """Labels as booleans.

    Raises:
        NotMeasurableError: All labels are the same, or there are none.
    """
    labels = np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        what = "there are no items" if not len(labels) else f"all {len(labels)} labels are {bool(labels[0])}"
        raise NotMeasurableError(f"{what}, so there are no two classes to tell apart; give labels of both")
    return labels


@dataclass(frozen=True)
class _Comparisons:
    """Pairs of a positive and a negative item of one group; a pair is in order if the positive item scores higher.

    Items are sorted by group and, within a group, by score. Each positive item's place among the negative ones is
    given by four indices.
    """

    positives: Integers  # `[positive]`, document of each positive item
    negatives: Integers  # `[negative]`, document of each negative item
    begin: Integers  # `[positive]`, index of the first negative item of the same group
    first: Integers  # `[positive]`, index of the first one of the group that does not score lower
    last: Integers  # `[positive]`, index of the first one of the group that scores higher
    end: Integers  # `[positive]`, index past the last one of the group
    within: Array  # `[document]`, pairs in order with both items in that document; ties count half

    @classmethod
    def among(cls, scores: Array, labels: NDArray[np.bool_], documents: Integers, groups: Integers) -> _Comparisons:
        order = np.lexsort((scores, groups))
        positives, negatives = order[labels[order]], order[~labels[order]]
        begin, end = (np.searchsorted(groups[negatives], groups[positives], side) for side in ("left", "right"))
        ranks = np.empty(len(order), dtype=np.int64)
        changes = (np.diff(groups[order]) != 0) | (np.diff(scores[order]) != 0)
        ranks[order] = np.append(0, np.cumsum(changes))
        first, last = (np.searchsorted(ranks[negatives], ranks[positives], side) for side in ("left", "right"))
        within = _within_documents(ranks, labels, documents, groups)
        return cls(documents[positives], documents[negatives], begin, first, last, end, within)

    @property
    def num_all(self) -> int:
        """Number of pairs, in order or not."""
        return int((self.end - self.begin).sum())

    @property
    def num_documents(self) -> int:
        """Number of documents with an item in some pair."""
        is_compared = np.zeros(len(self.negatives) + 1, dtype=np.int64)
        np.add.at(is_compared, self.begin, 1)
        np.add.at(is_compared, self.end, -1)
        negatives = self.negatives[np.cumsum(is_compared)[:-1] > 0]
        return len(np.union1d(self.positives[self.end > self.begin], negatives))

    def num_in_order(self, weights: Array) -> Array:
        """Weighted number of pairs in order, `[resample]`, for weights `[resample, document]`."""
        return self._summed(
            weights, lambda lower: (lower[:, self.first] + lower[:, self.last]) / 2 - lower[:, self.begin]
        )

    def num_compared(self, weights: Array) -> Array:
        """Weighted number of all pairs, `[resample]`, for weights `[resample, document]`."""
        return self._summed(weights, lambda lower: lower[:, self.end] - lower[:, self.begin])

    def in_order_without(self, num_documents: int) -> Array:
        """Number of pairs in order without each document, `[document]`."""
        of_positives = (self.first + self.last) / 2 - self.begin
        by_positives = np.bincount(self.positives, of_positives, num_documents)
        # A negative item is in order with every positive one of its group that comes after it.
        stops = [np.bincount(edge, minlength=len(self.negatives) + 1) for edge in (self.first, self.last, self.begin)]
        reached = [np.cumsum(stop[::-1])[::-1][1:] for stop in stops]
        of_negatives = (reached[0] + reached[1]) / 2 - reached[2]
        by_negatives = np.bincount(self.negatives, of_negatives, num_documents)
        return of_positives.sum() - by_positives - by_negatives + self.within

    def _summed(self, weights: Array, compared: Callable[[Array], Array]) -> Array:
        sums = np.empty(len(weights))
        size = 1 + _IN_CACHE // (len(self.negatives) + len(self.positives))
        for begin in range(0, len(weights), size):
            drawn = weights[begin : begin + size]
            lower = np.zeros((len(drawn), len(self.negatives) + 1))
            np.cumsum(drawn[:, self.negatives], axis=1, out=lower[:, 1:])
            sums[begin : begin + size] = np.einsum("rp,rp->r", drawn[:, self.positives], compared(lower))
        return sums


def _within_documents(ranks: Integers, labels: NDArray[np.bool_], documents: Integers, groups: Integers) -> Array:
    """Number of pairs in order whose items are of the same document and group, `[document]`."""
    num_documents = int(documents.max()) + 1
    order = np.lexsort((ranks, groups, documents))
    cells, ranked, positive = groups_of((documents, groups), len(ranks))[order], ranks[order], labels[order]
    keys = cells * (ranks.max() + 1) + ranked
    starts = cells * (ranks.max() + 1)
    negatives = keys[~positive]
    first, last = (np.searchsorted(negatives, keys[positive], side) for side in ("left", "right"))
    begin = np.searchsorted(negatives, starts[positive])
    return np.bincount(documents[order][positive], (first + last) / 2.0 - begin, num_documents).astype(np.float64)

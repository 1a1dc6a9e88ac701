"""The largest of a stream too long to keep, with near-duplicates left out."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Candidate(Generic[Item]):
    """Something that may be among the largest.

    Attributes:
        value: How large it is.
        key: What near-duplicates share.
        stretch: The stretch of text that it is of, of which only few are taken.
        place: Where in the stretch.
        item: Whatever is to be known of it.
    """

    value: float
    key: Hashable
    stretch: Hashable
    place: int
    item: Item


class Extremes(Generic[Item]):
    """The largest candidates of a stream, one of each key. Of equal ones the earlier stays.

    Args:
        size: How many. Never more than twice as many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: dict[Hashable, tuple[float, int, Candidate[Item]]] = {}
        self._num_offered = 0
        self.threshold = float("-inf")
        """What a candidate must exceed to be of interest."""

    def would_take(self, value: float, key: Hashable) -> bool:
        """Whether a candidate would be among the largest so far and no near-duplicate of one as large."""
        known = self._found.get(key)
        return value > self.threshold and (known is None or known[0] < value)

    def offer(self, candidate: Candidate[Item]) -> None:
        """Take a candidate in if `would_take` says so."""
        if not self.would_take(candidate.value, candidate.key):
            return
        self._num_offered += 1
        self._found[candidate.key] = (candidate.value, -self._num_offered, candidate)
        if len(self._found) >= 2 * self._size:
            self._found = {entry[2].key: entry for entry in self._largest()}
            self.threshold = min(entry[0] for entry in self._found.values())

    @property
    def candidates(self) -> list[Candidate[Item]]:
        """Those kept, the largest first."""
        return [entry[2] for entry in self._largest()]

    def _largest(self) -> list[tuple[float, int, Candidate[Item]]]:
        return heapq.nlargest(self._size, self._found.values(), key=lambda entry: entry[:2])


def choose(candidates: Iterable[Candidate[Item]], num: int, *, per_stretch: int, apart: int) -> list[Candidate[Item]]:
    """Take the largest candidates, few of each stretch and those apart from each other.

    Args:
        candidates: In any order; of equal ones the earlier is taken.
        num: How many to take at most.
        per_stretch: The most from one stretch.
        apart: The least distance of their places in it.
    """
    chosen: list[Candidate[Item]] = []
    places: dict[Hashable, list[int]] = {}
    keys: set[Hashable] = set()
    for candidate in sorted(candidates, key=lambda candidate: -candidate.value):
        taken = places.setdefault(candidate.stretch, [])
        is_near = any(abs(candidate.place - place) < apart for place in taken)
        if len(chosen) == num:
            break
        if candidate.key in keys or len(taken) == per_stretch or is_near:
            continue
        taken.append(candidate.place)
        keys.add(candidate.key)
        chosen.append(candidate)
    return chosen

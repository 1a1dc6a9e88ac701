"""The largest items of a stream that is too long to keep, without near-duplicates."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Candidate(Generic[Item]):
    """An item that may be among the largest."""

    value: float  # items are ranked by it
    key: Hashable  # equal for near-duplicates
    section: Hashable  # the section of text that it is from; only a few are taken from each
    place: int  # its index in the section
    item: Item


class Extremes(Generic[Item]):
    """The `size` largest candidates of a stream, one per key, with twice as many in memory; the earlier wins a tie."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: dict[Hashable, tuple[float, int, Candidate[Item]]] = {}
        self._num_offered = 0
        self.threshold = float("-inf")
        """The value that a candidate must exceed."""

    def would_take(self, value: float, key: Hashable) -> bool:
        """Whether a candidate is among the largest so far, and larger than a near-duplicate that is kept."""
        known = self._found.get(key)
        return value > self.threshold and (known is None or known[0] < value)

    def offer(self, candidate: Candidate[Item]) -> None:
        """Add a candidate if `would_take` is true for it."""
        if not self.would_take(candidate.value, candidate.key):
            return
        self._num_offered += 1
        self._found[candidate.key] = (candidate.value, -self._num_offered, candidate)
        if len(self._found) >= 2 * self._size:
            self._found = {entry[2].key: entry for entry in self._largest()}
            self.threshold = min(entry[0] for entry in self._found.values())

    @property
    def candidates(self) -> list[Candidate[Item]]:
        """The largest candidates, in descending order."""
        return [entry[2] for entry in self._largest()]

    def _largest(self) -> list[tuple[float, int, Candidate[Item]]]:
        return heapq.nlargest(self._size, self._found.values(), key=lambda entry: entry[:2])


def choose(candidates: Iterable[Candidate[Item]], num: int, *, per_section: int, apart: int) -> list[Candidate[Item]]:
    """Choose the `num` largest, at most some from one section and some places apart there; the earlier wins a tie."""
    chosen: list[Candidate[Item]] = []
    places: dict[Hashable, list[int]] = {}
    keys: set[Hashable] = set()
    for candidate in sorted(candidates, key=lambda candidate: -candidate.value):
        taken = places.setdefault(candidate.section, [])
        is_near = any(abs(candidate.place - place) < apart for place in taken)
        if len(chosen) == num:
            break
        if candidate.key in keys or len(taken) == per_section or is_near:
            continue
        taken.append(candidate.place)
        keys.add(candidate.key)
        chosen.append(candidate)
    return chosen

"""The largest items of a stream that is too long to keep, without near-duplicates."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Candidate(Generic[Item]):
    """An item that may be among the largest.

    Attributes:
        value: The value by which items are ranked.
        key: Equal for near-duplicates.
        section: The section of text that it is from; only a few are taken from each.
        place: Its index in the section.
        item: The item itself.
    """

    value: float
    key: Hashable
    section: Hashable
    place: int
    item: Item


class Extremes(Generic[Item]):
    """The largest candidates of a stream, one per key; the earlier one wins a tie.

    Args:
        size: How many to find. At most twice as many are in memory.
    """

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
    """Choose the largest candidates, with limits on the number and distance of those from one section.

    Args:
        candidates: In any order; the earlier one wins a tie.
        num: The most to choose.
        per_section: The most from one section.
        apart: The least distance of two places in a section.
    """
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

"""Passages of long texts: read in sections, chosen by their increments, without near-duplicates."""

from __future__ import annotations

import heapq
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from howfar.measures.documents import Document
from howfar.measures.tables import Row
from howfar.reading import Trace
from howfar.text.spans import character_of_byte

Item = TypeVar("Item")

SECTION = 65_536
"""Characters in a section, the part of a long document that is read at once."""

LONGEST_LEAD = 4096  # characters before a later section that are read as context only
NEARBY = 4  # characters, up to the scored one, that near-duplicates share
MOST_TRIED = 1000  # the most candidates of a section, layer and class that are checked for near-duplicates


@dataclass(frozen=True)
class Section:
    """A part of a document that is read at once."""

    text: str  # including the lead
    lead: int  # number of characters at its beginning that are context only; they belong to an earlier section
    start: int  # index in the document of the first character of `text`
    document: Document


def sections_of(documents: Iterable[Document], context: int, length: int = SECTION) -> Iterator[Section]:
    """Cut long documents into sections, so that only one is in memory; empty documents are left out.

    Args:
        documents: The documents.
        context: Tokens that the model reads at once; also the length of a lead in characters, at most 4096.
        length: Characters in a section, without its lead.
    """
    for document in documents:
        for begin in range(0, len(document.text), length):
            lead = min(begin, context, LONGEST_LEAD)
            start = begin - lead
            yield Section(document.text[start : begin + length], lead, start, document)


@dataclass(frozen=True, eq=False)
class Traced:
    """A section and its trace."""

    section: Section
    trace: Trace
    classes: NDArray[np.uint8]  # of its tokens, `[token]`
    width: int  # characters of text to keep on either side of a token

    @cached_property
    def _characters(self) -> NDArray[np.int64]:
        return np.append(character_of_byte(self.trace.text), len(self.trace.text))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Index in the section of the character in which each token begins, `[token]`."""
        return self._characters[self.trace.token_bytes[:, 0]]

    @cached_property
    def is_scored(self) -> NDArray[np.bool_]:
        """Whether each token has bytes and comes after the lead, bool `[token]`."""
        starts, ends = self.trace.token_bytes.T
        return (self.places >= self.section.lead) & (ends > starts)

    def key(self, token: int) -> Hashable:
        """Equal for near-duplicates: the last characters and the token's, ignoring case and digits; the byte's place.

        The token's id is no part of it, because a digit or capital has another.
        """
        first, past = self._span(token)
        texts = self.trace.text[max(0, first + 1 - NEARBY) : first + 1], self.trace.text[first:past]
        return *(re.sub(r"\d", "0", text.casefold()) for text in texts), self._byte_place(token)

    def passage(self, token: int) -> Row:
        """The columns of a token and of the text around it; `byte` is the index, from 1, within its character."""
        text, (first, past) = self.trace.text, self._span(token)
        start, end = self.trace.token_bytes[token].tolist()
        place = self._byte_place(token)
        return {
            "left": text[max(0, first - self.width) : first],
            "scored": text[first:past],
            "right": text[past : past + self.width],
            "surprisal_nats": float(self.trace.surprisal_nats[token]),
            "token_id": int(self.trace.token_ids[token]),
            "byte": place,
            "token_hex": text[first:past].encode()[place - 1 :][: end - start].hex(" ").upper(),
            "source": self.section.document.source,
            "document": self.section.document.number,
            "character": self.section.start + first,
        }

    def _span(self, token: int) -> tuple[int, int]:
        """The first of the characters that contain the token, and the one after the last."""
        return int(self.places[token]), int(self._characters[self.trace.token_bytes[token, 1] - 1]) + 1

    def _byte_place(self, token: int) -> int:
        start = int(self.trace.token_bytes[token, 0])
        return 1 + start - int(np.searchsorted(self._characters, self._characters[start]))


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


class Ends:
    """The passages with the largest and the smallest values of several quantities, by class of token.

    Within a class, the values farthest from the mean are the largest and the smallest, whatever the mean is; so one
    pass over the text is enough. `size` passages are kept at either end. For quantities that depend on the token alone
    (`by_token`), passages with the same token are duplicates.
    """

    def __init__(self, num_quantities: int, num_classes: int, size: int, by_token: Iterable[int] = ()) -> None:
        self.by_token = frozenset(by_token)
        self._pools = {
            sign: [[Extremes[Row](size) for _ in range(num_classes)] for _ in range(num_quantities)] for sign in (1, -1)
        }

    def candidates(self, sign: int, quantity: int, of_class: int) -> list[Candidate[Row]]:
        """The passages at the upper end (`sign` 1) or the lower end (-1); their values are multiplied by `sign`."""
        return self._pools[sign][quantity][of_class].candidates

    def add(self, values: NDArray[np.float32], traced: Traced, *, per_section: int) -> None:
        """Add the tokens of a section, with their values `[quantity, token]`; at most some passages of each class."""
        for sign, pools in self._pools.items():
            thresholds = np.array([[pool.threshold for pool in of_quantity] for of_quantity in pools])
            signed = sign * values
            promising = traced.is_scored & (signed > thresholds[:, traced.classes])
            for quantity, of_quantity in enumerate(pools):
                tokens = np.flatnonzero(promising[quantity])
                if quantity in self.by_token:
                    tokens = tokens[np.unique(traced.trace.token_ids[tokens], return_index=True)[1]]
                for of_class in np.unique(traced.classes[tokens]).tolist():
                    members = tokens[traced.classes[tokens] == of_class]
                    self._offer(of_quantity[of_class], signed[quantity], members, traced, per_section, quantity)

    def _offer(
        self,
        pool: Extremes[Row],
        signed: NDArray[np.float32],
        tokens: NDArray[np.int64],
        traced: Traced,
        per_section: int,
        quantity: int,
    ) -> None:
        taken: list[int] = []
        section = (traced.section.document.source, traced.section.document.number, traced.section.start)
        if quantity in self.by_token:
            per_section = len(tokens)
        for token in tokens[np.argsort(-signed[tokens], kind="stable")][:MOST_TRIED].tolist():
            place = int(traced.places[token])
            if quantity in self.by_token:
                key: Hashable = int(traced.trace.token_ids[token])
            elif any(abs(place - other) < traced.width for other in taken):
                continue
            else:
                key = traced.key(token)
            if pool.would_take(float(signed[token]), key):
                pool.offer(Candidate(float(signed[token]), key, section, place, traced.passage(token)))
                taken.append(place)
            if len(taken) == per_section:
                return

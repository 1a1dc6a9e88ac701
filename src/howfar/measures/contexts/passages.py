"""Tokens of long texts with the text around them: read in stretches, found by their increments, without duplicates."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from howfar.measures.contexts.extremes import Candidate, Extremes
from howfar.measures.documents import Document
from howfar.reading import Trace
from howfar.text.spans import character_of_byte

STRETCH = 65_536
"""Characters of a long document that are read at once."""

LONGEST_LEAD = 4096  # characters that a later stretch is read for context only
NEARBY = 4  # characters, up to the scored one, that near-duplicates share
MOST_TRIED = 1000  # candidates of a stretch, layer and class until near-duplicates are given up on


@dataclass(frozen=True)
class Stretch:
    """As much of a document as is read at once.

    Attributes:
        text: Its text, with the lead.
        lead: Characters at its beginning that are context only: those of an earlier stretch.
        start: The character of the document that `text` begins with.
        document: The document.
    """

    text: str
    lead: int
    start: int
    document: Document


def stretches_of(documents: Iterable[Document], context: int, length: int = STRETCH) -> Iterator[Stretch]:
    """Cut long documents, so that no more than a stretch is held at once; leave out empty ones.

    Args:
        documents: In any number.
        context: Tokens that the model reads at once; so many characters, at most 4096, lead a later stretch.
        length: Characters in a stretch, without its lead.
    """
    for document in documents:
        for begin in range(0, len(document.text), length):
            lead = min(begin, context, LONGEST_LEAD)
            start = begin - lead
            yield Stretch(document.text[start : begin + length], lead, start, document)


@dataclass(frozen=True)
class Passage:
    """A token and the text around it.

    Attributes:
        class_number: Of the token.
        token_id: The token.
        token: Its bytes.
        byte_place: Which byte of its first character it begins with, from 1.
        left: The text before.
        scored: The characters that the token is a part of.
        right: The text after.
        surprisal_nats: Of the token.
        source: The document's.
        document: Its number.
        character: Where in it `scored` begins.
    """

    class_number: int
    token_id: int
    token: bytes
    byte_place: int
    left: str
    scored: str
    right: str
    surprisal_nats: float
    source: str
    document: int
    character: int


@dataclass(frozen=True, eq=False)
class Traced:
    """A stretch that a model has read.

    Attributes:
        stretch: The stretch.
        trace: Its trace.
        classes: uint8 `[token]`.
        width: Characters of text to keep on either side of a token.
    """

    stretch: Stretch
    trace: Trace
    classes: NDArray[np.uint8]
    width: int

    @cached_property
    def _characters(self) -> NDArray[np.int64]:
        return np.append(character_of_byte(self.trace.text), len(self.trace.text))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The character of the stretch's text that each token begins in, `[token]`."""
        return self._characters[self.trace.token_bytes[:, 0]]

    @cached_property
    def is_scored(self) -> NDArray[np.bool_]:
        """Tokens that stand for text behind the lead, `[token]`."""
        starts, ends = self.trace.token_bytes.T
        return (self.places >= self.stretch.lead) & (ends > starts)

    def key(self, token: int) -> Hashable:
        """What near-duplicates share: the characters up to this one, but for case and digits; and the token."""
        place = int(self.places[token])
        nearby = self.trace.text[max(0, place + 1 - NEARBY) : place + 1]
        return re.sub(r"\d", "0", nearby.casefold()), self._byte_place(token), int(self.trace.token_ids[token])

    def passage(self, token: int) -> Passage:
        """The token with the text around it."""
        text, first = self.trace.text, int(self.places[token])
        start, end = self.trace.token_bytes[token].tolist()
        past = int(self._characters[end - 1]) + 1
        return Passage(
            class_number=int(self.classes[token]),
            token_id=int(self.trace.token_ids[token]),
            token=text[first:past].encode()[self._byte_place(token) - 1 :][: end - start],
            byte_place=self._byte_place(token),
            left=text[max(0, first - self.width) : first],
            scored=text[first:past],
            right=text[past : past + self.width],
            surprisal_nats=float(self.trace.surprisal_nats[token]),
            source=self.stretch.document.source,
            document=self.stretch.document.number,
            character=self.stretch.start + first,
        )

    def _byte_place(self, token: int) -> int:
        start = int(self.trace.token_bytes[token, 0])
        return 1 + start - int(np.searchsorted(self._characters, self._characters[start]))


class Ends:
    """The largest and the smallest of several quantities, by class of token.

    Within a class the most unlikely values are the largest and the smallest, whatever mean and spread turn out to be
    once all is read; so one pass is enough for those too.

    Args:
        num_quantities: How many.
        num_classes: Classes of tokens.
        size: How many to keep of each quantity and class, at either end.
        by_token: Quantities that depend on the token alone: of these, passages with the same token are duplicates.
    """

    def __init__(self, num_quantities: int, num_classes: int, size: int, by_token: Iterable[int] = ()) -> None:
        self.by_token = frozenset(by_token)
        self._pools = {
            sign: [[Extremes[Passage](size) for _ in range(num_classes)] for _ in range(num_quantities)]
            for sign in (1, -1)
        }

    def candidates(self, sign: int, quantity: int, of_class: int) -> list[Candidate[Passage]]:
        """What was found at the upper end (1) or at the lower one (-1); values are times `sign`."""
        return self._pools[sign][quantity][of_class].candidates

    def add(self, values: NDArray[np.float32], traced: Traced, *, per_stretch: int) -> None:
        """Look through the tokens of a stretch.

        Args:
            values: `[quantity, token]`.
            traced: The stretch.
            per_stretch: How many of it to keep, of each quantity, class and end.
        """
        for sign, pools in self._pools.items():
            thresholds = np.array([[pool.threshold for pool in of_quantity] for of_quantity in pools])
            signed = sign * values
            promising = traced.is_scored & (signed > thresholds[:, traced.classes])
            for quantity, of_quantity in enumerate(pools):
                tokens = np.flatnonzero(promising[quantity])
                if quantity in self.by_token:
                    tokens = tokens[np.unique(traced.trace.token_ids[tokens], return_index=True)[1]]
                for of_class in np.unique(traced.classes[tokens]).tolist():
                    own = tokens[traced.classes[tokens] == of_class]
                    self._offer(of_quantity[of_class], signed[quantity], own, traced, per_stretch, quantity)

    def _offer(
        self,
        pool: Extremes[Passage],
        signed: NDArray[np.float32],
        tokens: NDArray[np.int64],
        traced: Traced,
        per_stretch: int,
        quantity: int,
    ) -> None:
        taken: list[int] = []
        stretch = (traced.stretch.document.source, traced.stretch.document.number, traced.stretch.start)
        if quantity in self.by_token:
            per_stretch = len(tokens)
        for token in tokens[np.argsort(-signed[tokens], kind="stable")][:MOST_TRIED].tolist():
            place = int(traced.places[token])
            if quantity in self.by_token:
                key: Hashable = int(traced.trace.token_ids[token])
            elif any(abs(place - other) < traced.width for other in taken):
                continue
            else:
                key = traced.key(token)
            if pool.would_take(float(signed[token]), key):
                pool.offer(Candidate(float(signed[token]), key, stretch, place, traced.passage(token)))
                taken.append(place)
            if len(taken) == per_stretch:
                return

"""Which document comes next, and which split it joins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from howfar.corpus.journal import KEPT, DigestSet, Journal, Outcome, Record
from howfar.corpus.preparing import Document, Preparation
from howfar.corpus.sources import Source
from howfar.errors import ConfigError

Balance = Literal["bytes", "documents", "none"]


@dataclass(frozen=True)
class BuildOptions:
    """How documents are chosen from the sources.

    Attributes:
        held_out_fraction: The share of documents to hold out, 0 to 1, chosen by their text and `seed`. A source that
            names its own held-out documents has exactly those held out.
        held_out_documents: If given, hold out this many first documents of each source instead of a share.
        balance: `bytes`: the next document comes from the source with the fewest bytes so far. `documents`: from
            the one with the fewest documents. Both stop when the source whose turn it is has no more. `none`: as
            `documents`, until all sources are used up.
        max_bytes_per_source: A source counts as finished after this many bytes, held out or not.
        max_documents_per_source: A source counts as finished after this many documents.
        seed: Determines which documents are held out.

    Raises:
        ConfigError: A value is out of range, or all documents would be held out.
    """

    held_out_fraction: float = 0.01
    held_out_documents: int | None = None
    balance: Balance = "bytes"
    max_bytes_per_source: int | None = None
    max_documents_per_source: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.held_out_fraction <= 1:
            raise ConfigError(f"held_out_fraction is {self.held_out_fraction}; it must lie between 0 and 1")
        if self.balance not in get_args(Balance):
            raise ConfigError(f"balance is {self.balance!r}; it must be one of {', '.join(get_args(Balance))}")
        for name in ("held_out_documents", "max_bytes_per_source", "max_documents_per_source", "seed"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 2**63:
                raise ConfigError(f"{name} is {value}; it must lie between 0 and 2**63")
        held_out, most = self.held_out_documents, self.max_documents_per_source
        if held_out and most is not None and held_out >= most:
            raise ConfigError(
                f"held_out_documents is {held_out} of at most {most} documents of each source, which leaves none to "
                "train on; hold out fewer"
            )


class Selection:
    """Moves documents from sources into a journal until the options say to stop.

    Every decision depends on counts in the journal, so a new object over the same journal continues where the last one
    stopped. Streams are numbered: source `i` is stream `i`, its own held-out documents are stream `len(sources) + i`.

    Args:
        sources: The sources.
        options: How to choose.
        preparation: Reads the documents.
        journal: Receives the documents; its existing records are continued.
    """

    def __init__(
        self, sources: Sequence[Source], options: BuildOptions, preparation: Preparation, journal: Journal
    ) -> None:
        self._sources, self._options, self._preparation, self._journal = sources, options, preparation, journal
        self._seen = {"train": DigestSet(), "held_out": DigestSet()}
        num_streams = 2 * len(sources)
        self._num_read = [0] * num_streams
        self._num_held_out = [0] * num_streams
        self._num_kept = [0] * num_streams
        self._num_bytes = [0] * num_streams
        for record in journal:
            self._count(record)

    @property
    def num_bytes(self) -> int:
        """Bytes of documents kept so far."""
        return sum(self._num_bytes)

    def run(self) -> Iterator[Record]:
        """Take documents: first those held out beforehand, then from the sources in turn.

        Yields:
            The outcome of each document, after it was written.
        """
        read = self._preparation.documents
        readers = [read(source.location, self._num_read[i]) for i, source in enumerate(self._sources)]
        for index, source in enumerate(self._sources):
            stream = len(self._sources) + index
            if source.held_out:
                for document in read(source.held_out, self._num_read[stream]):
                    yield self._take(stream, document, hold_out=True)
            elif self._options.held_out_documents is not None:
                while self._num_held_out[index] < self._options.held_out_documents:
                    if (next_document := self._next(index, readers)) is None:
                        break
                    yield self._take(index, next_document, hold_out=True)
        yield from self._take_in_turn(readers)

    def _take_in_turn(self, readers: Sequence[Iterator[Document]]) -> Iterator[Record]:
        by_share = [source.held_out is None and self._options.held_out_documents is None for source in self._sources]
        given = self._num_bytes if self._options.balance == "bytes" else self._num_kept
        active = list(range(len(self._sources)))
        while active:
            source = min(active, key=given.__getitem__)
            document = self._next(source, readers)
            if document is not None:
                yield self._take(source, document, hold_out=None if by_share[source] else False)
            elif self._options.balance == "none":
                active.remove(source)
            else:
                return

    def _next(self, source: int, readers: Sequence[Iterator[Document]]) -> Document | None:
        """The next document of a source; None if it has no more, or has given as much as it may."""
        max_bytes, max_documents = self._options.max_bytes_per_source, self._options.max_documents_per_source
        if max_bytes is not None and self._num_bytes[source] >= max_bytes:
            return None
        if max_documents is not None and self._num_kept[source] >= max_documents:
            return None
        return next(readers[source], None)

    def _take(self, stream: int, document: Document, hold_out: bool | None) -> Record:
        """Decide about a document and write it; with `hold_out=None` the document's text decides the split."""
        if hold_out is None:
            hold_out = document.digest < self._options.held_out_fraction * 2**64
        outcome = self._outcome(document, hold_out)
        tokens = document.tokens() if outcome in KEPT else None
        record = Record(stream, outcome, document.digest, document.num_bytes, 0 if tokens is None else len(tokens))
        self._journal.append(record, tokens)
        self._count(record)
        return record

    def _outcome(self, document: Document, hold_out: bool) -> Outcome:
        if document.unfit is not None:
            return document.unfit
        if document.digest in self._seen["held_out"]:
            return Outcome.DUPLICATE if hold_out else Outcome.IN_HELD_OUT
        if document.digest in self._seen["train"]:
            return Outcome.DUPLICATE
        return Outcome.HELD_OUT if hold_out else Outcome.TRAIN

    def _count(self, record: Record) -> None:
        self._num_read[record.stream] += 1
        if record.outcome in KEPT:
            self._seen[KEPT[record.outcome]].add(record.digest)
            self._num_kept[record.stream] += 1
            self._num_bytes[record.stream] += record.num_bytes
            self._num_held_out[record.stream] += record.outcome is Outcome.HELD_OUT

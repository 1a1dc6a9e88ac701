"""Documents made ready for a build: separated, checked, hashed and encoded, by this process or by workers.

Workers get pieces of about a quarter of a megabyte and return tokens. Which documents are taken, and in which order, is
not decided here, so a corpus is the same by any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.encoding import DocumentEncoder
from howfar.corpus.journal import Outcome
from howfar.corpus.pieces import NOT_TEXT, Piece, is_blank
from howfar.corpus.readers import read_documents, read_pieces
from howfar.corpus.sources import Location
from howfar.errors import HowFarError
from howfar.jobs.workers import Workers, current_workers, in_order, received

Tokens = NDArray[np.uint16 | np.uint32]

_JOB_BYTES = 2**18


class Document(NamedTuple):
    """A document, ready to be taken.

    Attributes:
        digest: 64 bits of its text and the seed. Among ten million documents, two different ones share a digest with
            probability 3e-6.
        num_bytes: Length of its UTF-8 text.
        unfit: Why it can be in no corpus, whichever others are there; None for most.
        tokens: Gives its tokens, end of document included; not to be called if it is unfit.
    """

    digest: int
    num_bytes: int
    unfit: Outcome | None
    tokens: Callable[[], Tokens]


class Preparation:
    """Reads documents, by the workers of the enclosing `howfar.workers` if there are any.

    Args:
        encoder: Turns a document into tokens.
        seed: Of the digests.
        num_streams: How many streams of documents are read in turn; they share the workers.

    Raises:
        WorkersError: The tokenizer cannot be sent to workers.
    """

    def __init__(self, encoder: DocumentEncoder, seed: int, num_streams: int) -> None:
        self._encoder, self._seed, self._num_streams = encoder, seed, num_streams
        self._workers = current_workers()
        if self._workers is not None:
            self._shared = None if encoder.tokenizer is None else self._workers.share(encoder.tokenizer)

    def documents(self, location: Location, skip: int = 0) -> Iterator[Document]:
        """Documents in their fixed order; arguments and errors are those of `read_documents`.

        Raises:
            WorkersError: Workers were lost.
        """
        if self._workers is not None:
            yield from self._by(self._workers, read_pieces(location, skip))
            return
        for text in read_documents(location, skip):
            yield Document(*_described(text, self._seed), partial(self._encoder.encode, text))

    def _by(self, workers: Workers, pieces: Iterable[Piece]) -> Iterator[Document]:
        jobs = ((error, (group, self._seed, self._shared) if group else None) for group, error in _grouped(pieces))
        for error, prepared in in_order(workers, prepare, jobs, shares=self._num_streams):
            if error is not None:
                raise error
            yield from prepared.documents()
            if prepared.error is not None:
                raise prepared.error


@dataclass(frozen=True)
class Prepared:
    """What a worker made of some pieces.

    Attributes:
        described: Of each document its digest, length in bytes, and why it is unfit.
        ends: Of each document the end of its tokens in `tokens`.
        tokens: uint16 or uint32 `[token]`: the tokens of all documents that are not unfit.
        error: Why there are no further documents, if they could not be read.
    """

    described: Sequence[tuple[int, int, Outcome | None]]
    ends: Sequence[int]
    tokens: Tokens
    error: HowFarError | None

    def documents(self) -> Iterator[Document]:
        """The documents."""
        begin = 0
        for described, end in zip(self.described, self.ends, strict=True):
            yield Document(*described, partial(self.tokens.__getitem__, slice(begin, end)))
            begin = end


def prepare(pieces: Sequence[Piece], seed: int, tokenizer: bytes | None) -> Prepared:
    """In a worker: make the documents of pieces ready.

    Args:
        pieces: Consecutive pieces.
        seed: Of the digests.
        tokenizer: A shared Transformers tokenizer; None for the byte tokenizer.

    Raises:
        WorkersError: The tokenizer cannot be made in this process.
    """
    encoder, error = _encoder(tokenizer), None
    nothing = np.empty(0, encoder.dtype)
    described: list[tuple[int, int, Outcome | None]] = []
    tokens: list[Tokens] = []
    try:
        for text in chain.from_iterable(piece.documents() for piece in pieces):
            described.append(_described(text, seed))
            is_unfit = described[-1][-1] is not None
            tokens.append(nothing if is_unfit else encoder.encode(text))
    except HowFarError as found:  # the documents before it may be all that is needed
        error = found
    ends = np.cumsum([len(part) for part in tokens]).tolist()
    return Prepared(described, ends, np.concatenate([nothing, *tokens]), error)


@lru_cache(2)
def _encoder(tokenizer: bytes | None) -> DocumentEncoder:
    return DocumentEncoder(None if tokenizer is None else received(tokenizer))


def _described(text: bytes, seed: int) -> tuple[int, int, Outcome | None]:
    unfit = Outcome.NOT_TEXT if text == NOT_TEXT else Outcome.EMPTY if is_blank(text) else None
    # Kinds of files keep line ends in their own ways; the same text in two of them is one document.
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip(b"\n")
    digest = blake2b(lines, digest_size=8, key=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest), len(text), unfit


def _grouped(pieces: Iterable[Piece]) -> Iterator[tuple[tuple[Piece, ...], Exception | None]]:
    """Pieces for one job each, and last the error of reading them; the documents before it are used first."""
    group: list[Piece] = []
    size = 0
    error = None
    try:
        for piece in pieces:
            group.append(piece)
            size += piece.num_bytes
            if size >= _JOB_BYTES:
                yield tuple(group), None
                group, size = [], 0
    except Exception as found:
        error = found
    if group:
        yield tuple(group), None
    if error is not None:
        yield (), error

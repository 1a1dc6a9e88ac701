"""Documents to measure on: from a corpus or from given texts, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus, SplitName
from howfar.corpus.encoding import is_tokenized_by
from howfar.errors import NotMeasurableError, TextError
from howfar.text.spans import token_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BETWEEN_DOCUMENTS = "\0"
"""Separates the documents of a block."""

NUM_BLOCKS = 64
"""Number of blocks that a sample of a corpus is divided into."""

Decoder = Callable[[NDArray[Any]], str]
"""From a corpus's tokens to their text, with `BETWEEN_DOCUMENTS` for an end of document."""


@dataclass(frozen=True)
class Document:
    """A document, the name of its source, and its number there or in its corpus."""

    text: str
    source: str
    number: int


class SourcedTexts(list[str]):
    """Texts of several sources, for example of several files; measures compare texts of one source only.

    Args:
        by_source: The texts of each source, by its name.
    """

    def __init__(self, by_source: Mapping[str, Sequence[str]]) -> None:
        super().__init__(text for texts in by_source.values() for text in texts)
        self.sources = [source for source, texts in by_source.items() for _ in texts]


def documents_of(
    texts: Corpus | Iterable[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    num_documents: int | None = None,
    split: SplitName = "held_out",
    source: str | None = None,
) -> Iterator[Document]:
    """Read documents one at a time.

    Args:
        tokenizer: The corpus's tokenizer, unless it is the byte tokenizer.
        num_documents: The most documents, spread evenly over all, so that every source has its share; None for all.
        split: The part of the corpus to read.
        source: Read only the documents of this source of the corpus.

    Raises:
        NotMeasurableError: The corpus has no such documents, or another tokenizer.
        TextError: The texts are one string.
    """
    if isinstance(texts, str):  # else each of its characters would be a document
        raise TextError("texts are needed, but this is one string; give a list of texts")
    if not isinstance(texts, Corpus):
        if num_documents is None:
            chosen: Iterable[tuple[int, str]] = enumerate(texts)
        else:
            every = list(texts)
            chosen = ((number, every[number]) for number in spread_evenly(len(every), num_documents))
        for number, text in chosen:
            yield Document(text, texts.sources[number] if isinstance(texts, SourcedTexts) else "text", number)
        return
    if source is not None and source not in texts.source_names:
        raise NotMeasurableError(
            f"the corpus in {texts.folder} has no source {source!r}; it has {', '.join(texts.source_names)}"
        )
    decode, part = decoder_of(texts, tokenizer), getattr(texts, split)
    numbers = np.arange(part.num_documents)
    if source is not None:
        numbers = np.flatnonzero(np.asarray(part.sources) == texts.source_names.index(source))
    if not len(numbers):
        raise NotMeasurableError(
            f"the {split} part of {texts.folder} has no documents{f' of {source}' if source else ''}; "
            "build a corpus that has some"
        )
    if num_documents is not None:  # of one source after the other: where sources take turns, a step could skip one
        by_source = numbers[np.argsort(np.asarray(part.sources)[numbers], kind="stable")]
        numbers = np.sort(by_source[spread_evenly(len(numbers), num_documents)])
    for number in numbers.tolist():
        text = decode(part.document(number))
        if text.startswith(" ") and len(text.encode()) == int(part.num_bytes[number]) + 1:
            text = text[1:]  # the space that SentencePiece puts before a text
        yield Document(text, part.source_of(number), number)


def every_document(corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None) -> Iterator[Document]:
    """All documents of a corpus, held-out ones first; the tokenizer is as for `documents_of`."""
    splits: tuple[SplitName, ...] = ("held_out", "train")
    for split in splits:
        if getattr(corpus, split).num_documents:
            yield from documents_of(corpus, tokenizer, split=split)


def spread_evenly(num_all: int, num_wanted: int) -> list[int]:
    """Indices of at most `num_wanted` of `num_all` items, spread evenly."""
    return np.linspace(0, num_all - 1, min(num_wanted, num_all)).round().astype(int).tolist()


def sample_blocks(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None = None, *, num_tokens: int, num_blocks: int = NUM_BLOCKS
) -> Iterator[str]:
    """Read a bounded sample of a corpus's training part: blocks of whole documents, spread evenly over it.

    Args:
        tokenizer: The corpus's, unless it is the byte tokenizer.
        num_tokens: About how many tokens to read; all if the corpus has fewer.
        num_blocks: Number of blocks of the sample.

    Yields:
        Blocks of text, with `BETWEEN_DOCUMENTS` between documents.

    Raises:
        NotMeasurableError: The corpus has no training documents, or another tokenizer.
    """
    decode, offsets = decoder_of(corpus, tokenizer), np.asarray(corpus.train.offsets, dtype=np.int64)
    if not corpus.train.num_documents:
        raise NotMeasurableError(f"{corpus.folder} has no training documents to count in; name the training corpus")
    total = len(corpus.train.tokens)
    starts = np.linspace(0, total, num_blocks, endpoint=False)
    length = min(num_tokens, total) / num_blocks
    edges = np.searchsorted(offsets, np.stack([starts, starts + length], axis=1))
    for first, last in np.minimum(edges, len(offsets) - 1).tolist():
        if last > first:
            yield decode(corpus.train.tokens[offsets[first] : offsets[last]])


def decoder_of(corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None = None) -> Decoder:
    """The function that decodes a corpus's tokens; the tokenizer is the corpus's, unless it is the byte tokenizer.

    Raises:
        NotMeasurableError: It was built with another tokenizer.
    """
    if corpus.tokenizer_name == "bytes":
        # An end of document, 256, becomes a zero byte when truncated to eight bits.
        return lambda tokens: np.asarray(tokens).astype(np.uint8).tobytes().decode("utf-8", errors="replace")
    if tokenizer is None or not is_tokenized_by(corpus, tokenizer):
        raise NotMeasurableError(
            f"the corpus in {corpus.folder} is tokenized by {corpus.tokenizer_name!r}, not by this model's tokenizer; "
            "name a corpus of bytes, which every model can read"
        )
    pieces = token_bytes(tokenizer, range(len(tokenizer)))
    pieces[corpus.end_of_document] = BETWEEN_DOCUMENTS.encode()
    return lambda tokens: b"".join(pieces[token] for token in tokens.tolist()).decode("utf-8", errors="replace")

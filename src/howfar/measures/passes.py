"""Held-out text in windows: one window from each of some documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures.documents import documents_of
from howfar.measures.statistics import MIN_DOCUMENTS
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.spans import byte_spans_of_tokens, token_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Item = TypeVar("Item")

LONGEST_WINDOW = 512
MOST_CHARACTERS = 8  # characters per token
LONGEST_DOCUMENT = 1_000_000  # characters; the rest is not read


def window_length(model: PreTrainedModel) -> int:
    """Tokens in a window: the training length, at most `LONGEST_WINDOW`."""
    return min(LONGEST_WINDOW, Reader(model).longest)


def sample_windows(reader: Reader, texts: Corpus | Iterable[str], *, num_documents: int, seed: int = 0) -> list[Window]:
    """One window of the reader's context from each of some documents, so that windows are as independent as documents.

    The seed determines where in its document a window begins, at a character, and the order of the windows.

    Raises:
        NotMeasurableError: There are too few documents for an interval, or their tokens are not the model's.
    """
    generator = np.random.default_rng(seed)
    documents = list(documents_of(texts, reader.tokenizer, num_documents=num_documents))
    windows = []
    for place in generator.permutation(len(documents)).tolist():
        tokens = _tokens_inside(reader, documents[place].text[:LONGEST_DOCUMENT], generator)
        if len(tokens):
            windows.append(Window(documents[place].number, np.append(reader.mark, tokens)))
    if len(windows) < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{len(windows)} documents with text give no interval; give at least {MIN_DOCUMENTS}, "
            "or split the text into more"
        )
    check_vocabulary(reader, windows)
    return windows


def _tokens_inside(reader: Reader, text: str, generator: np.random.Generator) -> NDArray[np.int64]:
    """As many tokens of a document as fit in a window, from a random one that begins a character."""
    spans = byte_spans_of_tokens(reader.tokenizer, text)
    most = reader.context - 1
    last_start = max(0, len(spans.token_ids) - most)
    data = np.frombuffer(text.encode() + b"\0", dtype=np.uint8)
    begins_character = np.flatnonzero((data[spans.byte_spans[: last_start + 1, 0]] & 0xC0) != 0x80)
    start = int(generator.choice(begins_character)) if len(begins_character) else 0
    return spans.token_ids[start : start + most]


def check_vocabulary(reader: Reader, windows: Sequence[Window]) -> None:
    """Refuse tokens outside a model's vocabulary.

    Raises:
        NotMeasurableError: A token is outside it.
    """
    largest = max(int(window.tokens.max()) for window in windows)
    if largest >= reader.vocabulary_size:
        raise NotMeasurableError(
            f"the tokenizer gives token {largest}, but the model's vocabulary ends at {reader.vocabulary_size - 1}; "
            "pass the model's own tokenizer"
        )


def in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Windows, or other items, in batches."""
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def byte_lengths(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Bytes of text of each token id, 0 for special tokens; `[id]`."""
    return np.array([len(piece) for piece in token_bytes(tokenizer, range(len(tokenizer)))], dtype=np.int64)

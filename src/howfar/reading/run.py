"""Make traces: read texts through the model in windows, and join the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError, TextError
from howfar.progress import Progress
from howfar.reading.reader import POOL, Reader
from howfar.reading.readings import Reading, TokenizedText, stacked
from howfar.reading.result import Trace
from howfar.reading.windows import Window, pools
from howfar.reading.workers import read_pools

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def trace(
    model: PreTrainedModel,
    text: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    context: int | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    mark: int | str | None = None,
    attention: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Trace a model's increments and predictions on a text.

    The document mark precedes the text, as in training. A text longer than the context is read in overlapping windows;
    each token's results come from the window in which it has the most left context. Apart from the result itself,
    memory does not grow with the text.

    Args:
        model: A causal language model with rotary positions. Without learned increments, all increments are 1.
        text: The text. Characters that spell a special token are plain text, as in a corpus.
        tokenizer: The model's tokenizer; if None, `howfar.tokenizer_of` finds it.
        context: Tokens in a window, including the document mark; if None, the model's maximum (at most 4096).
        overlap: The least left context of a token in a later window; if None, a sixth of the context. Every token is
            read `context / (context - overlap)` times on average.
        batch_size: The most windows in a batch; if None, as many as fit in bounded memory.
        mark: The document mark: a token's id, or the token as the vocabulary spells it. If None, the token that the
            tokenizer puts before a text, else its end of sequence.
        attention: Whether to keep attention weights too; only for texts that fit into one window.
        progress: Called after each batch with how many tokens are done and how many there are.

    Raises:
        TextError: The text is empty, contains a lone surrogate, or is too long for `attention`.
        UnsupportedModelError: The model has no rotary positions.
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """
    reader = Reader(model, tokenizer, context=context, overlap=overlap, batch_size=batch_size, mark=mark)
    document = _Document.of(reader, text)
    if attention and len(document) > reader.context:
        raise TextError(
            f"the text has {len(document) - 1} tokens, but attention is kept for one window of at most "
            f"{reader.context - 1}; shorten the text or raise context"
        )
    done = 0
    for reading in reader.read(_windows(reader, [document]), "losses", "increments"):
        done += _keep(reading, [document])
        if progress is not None:
            progress(done, len(document) - 1)
    if not attention:
        return _finished(reader, document)
    (window,) = reader.cover(document.tokenized.tokens)
    weights = stacked(reader.read_together([window], "attention").attention)
    return _finished(reader, document, weights[:, 0])


def trace_many(
    model: PreTrainedModel,
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    context: int | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    mark: int | str | None = None,
) -> Iterator[Trace]:
    """Trace many texts, each on its own; short texts share batches.

    Args:
        model: As for `trace`.
        texts: The texts; taken one by one.
        tokenizer: As for `trace`.
        context: As for `trace`.
        overlap: As for `trace`.
        batch_size: As for `trace`.
        mark: As for `trace`.

    Yields:
        Their traces, in order.

    Raises:
        TextError: A text is empty or contains a lone surrogate.
        UnsupportedModelError: The model has no rotary positions.
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """
    reader = Reader(model, tokenizer, context=context, overlap=overlap, batch_size=batch_size, mark=mark)
    if isinstance(texts, str):
        raise TextError("texts are needed, but this is one string; give a list, or use howfar.trace")
    opened = (_Document.of(reader, text) for text in texts)
    pooled = pools(opened, len, POOL * reader.max_tokens)
    for pool, reading in read_pools(reader, pooled, lambda pool: _windows(reader, pool), "losses", "increments"):
        if reading is None:
            yield from (_finished(reader, document) for document in pool)
        else:
            _keep(reading, pool)


@dataclass(frozen=True)
class _Document:
    """A text whose trace is being made; index 0 along tokens is the document mark."""

    tokenized: TokenizedText
    increments: NDArray[np.float32]
    surprisal_nats: NDArray[np.float32]
    entropy_nats: NDArray[np.float32]

    @classmethod
    def of(cls, reader: Reader, text: str) -> _Document:
        tokenized = reader.tokenize(text)
        length = len(tokenized.tokens)
        return cls(
            tokenized,
            np.empty((len(reader.layers), reader.num_heads, length), dtype=np.float32),
            np.empty(length, dtype=np.float32),
            np.empty(length, dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.tokenized.tokens)


def _windows(reader: Reader, documents: list[_Document]) -> list[Window]:
    return [
        window
        for number, document in enumerate(documents)
        for window in reader.cover(document.tokenized.tokens, number)
    ]


def _keep(reading: Reading, documents: list[_Document]) -> int:
    """Copy a batch's results into their documents; returns the number of their tokens."""
    surprisal, entropy = reading.surprisal_nats.cpu().numpy(), reading.entropy_nats.cpu().numpy()
    increments, done = stacked(reading.increments), 0
    for row, window in enumerate(reading.windows):
        document = documents[window.document]
        kept = slice(window.kept_from, window.stop)
        document.surprisal_nats[kept] = surprisal[row, window.kept]
        document.entropy_nats[kept] = entropy[row, window.kept]
        document.increments[..., kept] = increments[:, row, :, window.kept]
        done += window.stop - max(window.kept_from, 1)
    return done


def _finished(reader: Reader, document: _Document, attention: NDArray[np.float32] | None = None) -> Trace:
    model, tokenized = reader.inner, document.tokenized
    _check_numbers(document, model.dtype)
    return Trace(
        text=tokenized.text,
        token_ids=tokenized.tokens[1:],
        token_bytes=tokenized.byte_spans,
        layers=reader.layers,
        increments=document.increments[..., 1:],
        mark_increments=document.increments[..., 0],
        surprisal_nats=document.surprisal_nats[1:],
        entropy_nats=document.entropy_nats[1:],
        config=reader.config,
        model_name=model.name_or_path or type(model).__name__,
        context=reader.context,
        overlap=reader.overlap,
        mark=reader.mark,
        attention=attention,
    )


def _check_numbers(document: _Document, dtype: torch.dtype) -> None:
    """Refuse results that are infinite or NaN."""
    checked = {
        "increments": document.increments,
        "surprisal": document.surprisal_nats,
        "entropy": document.entropy_nats,
    }
    for name, values in checked.items():
        num_wrong = int(np.count_nonzero(~np.isfinite(values)))
        if num_wrong:
            raise NotMeasurableError(
                f"{num_wrong:,} of {values.size:,} values of the model's {name} are infinite or NaN (it was loaded "
                f"as {str(dtype).removeprefix('torch.')}); load it in float32, or check its weights"
            )

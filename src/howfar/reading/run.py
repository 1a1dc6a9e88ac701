"""Make traces: texts in, windows through the model, results stitched together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError, TextError
from howfar.models.loading import tokenizer_of
from howfar.reading.reading import Reader
from howfar.reading.result import Trace
from howfar.reading.windows import Window, batches, check_windows, cover
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_CONTEXT = 4096  # tokens in a window by default, where a model could read more
MAX_TOKENS = 8192  # tokens in a batch by default,
MAX_LOGITS = 2**26  # or fewer: the logits of a batch take at most 256 MB in float32
POOL = 16  # short texts are gathered until there are so many batches of them, then sorted by length

Progress = Callable[[int, int], None]
"""`progress(tokens_done, tokens_in_all)`"""


def trace(
    model: PreTrainedModel,
    text: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    context: int | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
    attention: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Watch a model read a text.

    The document mark stands before the text, as in training. A text longer than the context is read in overlapping
    windows; each token's results come from the one window in which it has most left context. Memory beyond the result
    itself does not grow with the text.

    Args:
        model: A causal language model with rotary positions, with increments or without (then they are ones).
        text: The text.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        context: Tokens in a window, the document mark included; where None, what the model was made for (at most 4096).
        overlap: The least left context of a token in a later window; a sixth of the context where None. More costs
            time: `context / (context - overlap)` passes over the text.
        batch_size: Windows at a time; chosen by size where None.
        attention: Keep the attention weights too; for texts that fit into one window.
        progress: Called after each batch as `progress(tokens_done, tokens_in_all)`.

    Raises:
        TextError: The text is empty, holds a lone surrogate, or is too long for `attention`.
        UnsupportedModelError: The model has no rotary positions.
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """
    tracer = _Tracer.of(model, tokenizer, context, overlap, batch_size)
    document = tracer.open(text)
    if attention and len(document.sequence) > tracer.context:
        raise TextError(
            f"the text has {len(document.sequence) - 1} tokens, attention is kept for one window of at most "
            f"{tracer.context - 1}; shorten the text or raise context"
        )
    tracer.run([document], progress)
    return tracer.close(document, tracer.reader.attention(document.sequence) if attention else None)


def trace_many(
    model: PreTrainedModel,
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    context: int | None = None,
    overlap: int | None = None,
    batch_size: int | None = None,
) -> Iterator[Trace]:
    """Watch a model read many texts, each by itself; short ones are batched together.

    Args:
        model: As for `trace`.
        texts: The texts; they are taken as they are needed.
        tokenizer: As for `trace`.
        context: As for `trace`.
        overlap: As for `trace`.
        batch_size: As for `trace`.

    Yields:
        Their traces, in order.

    Raises:
        TextError: A text is empty or holds a lone surrogate.
        UnsupportedModelError: The model has no rotary positions.
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """
    tracer = _Tracer.of(model, tokenizer, context, overlap, batch_size)
    pool: list[_Document] = []
    num_tokens = 0
    for text in texts:
        pool.append(tracer.open(text))
        num_tokens += len(pool[-1].sequence)
        if num_tokens >= POOL * tracer.max_tokens:
            tracer.run(pool)
            yield from map(tracer.close, pool)
            pool, num_tokens = [], 0
    tracer.run(pool)
    yield from map(tracer.close, pool)


@dataclass(frozen=True)
class _Document:
    """A text on its way to being a trace; index 0 of every array along tokens is the document mark."""

    text: str
    sequence: NDArray[np.int64]
    byte_spans: NDArray[np.int64]
    increments: NDArray[np.float32]
    surprisal_nats: NDArray[np.float32]
    entropy_nats: NDArray[np.float32]


@dataclass(frozen=True)
class _Tracer:
    """A model and what is the same for all of its texts."""

    reader: Reader
    tokenizer: PreTrainedTokenizerBase
    mark: int
    context: int
    overlap: int
    max_tokens: int

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None,
        context: int | None,
        overlap: int | None,
        batch_size: int | None,
    ) -> _Tracer:
        reader = Reader.of(model)
        tokenizer = tokenizer or tokenizer_of(model)
        if context is None:
            context = min(model.config.get_text_config().max_position_embeddings, MAX_CONTEXT)
        if overlap is None:
            overlap = max(1, context // 6)
        check_windows(context, overlap, batch_size)
        max_tokens = batch_size * context if batch_size else min(MAX_TOKENS, MAX_LOGITS // reader.vocabulary_size)
        return cls(reader, tokenizer, document_mark(tokenizer), context, overlap, max_tokens)

    def open(self, text: str) -> _Document:
        spans = byte_spans_of_tokens(self.tokenizer, text) if text else None
        if spans is None or not len(spans.token_ids):
            raise TextError("the text is empty; give at least one character")
        if spans.token_ids.max() >= self.reader.vocabulary_size:
            raise TextError(
                f"the tokenizer gives token id {spans.token_ids.max()}, the model knows ids up to "
                f"{self.reader.vocabulary_size - 1}; pass the model's own tokenizer"
            )
        length = 1 + len(spans.token_ids)
        return _Document(
            text,
            np.append(self.mark, spans.token_ids),
            spans.byte_spans,
            np.empty((len(self.reader.layers), self.reader.num_heads, length), dtype=np.float32),
            np.empty(length, dtype=np.float32),
            np.empty(length, dtype=np.float32),
        )

    def run(self, documents: list[_Document], progress: Progress | None = None) -> None:
        """Fill in the documents' results."""
        windows = [
            window
            for index, document in enumerate(documents)
            for window in cover(len(document.sequence), self.context, self.overlap, index)
        ]
        done, in_all = 0, sum(len(document.sequence) for document in documents) - len(documents)
        with self.reader.reading() as read:
            for batch in batches(windows, self.max_tokens):
                reading = read(self._token_ids(documents, batch))
                for row, window in enumerate(batch):
                    document = documents[window.sequence]
                    kept = slice(window.kept_from, window.stop)
                    in_window = slice(window.kept_from - window.start, len(window))
                    document.surprisal_nats[kept] = reading.surprisal_nats[row, in_window]
                    document.entropy_nats[kept] = reading.entropy_nats[row, in_window]
                    document.increments[..., kept] = reading.increments[:, row, :, in_window]
                    done += window.stop - max(window.kept_from, 1)
                if progress is not None:
                    progress(done, in_all)

    def close(self, document: _Document, attention: NDArray[np.float32] | None = None) -> Trace:
        model = self.reader.model
        _check_numbers(document, model.dtype)
        return Trace(
            text=document.text,
            token_ids=document.sequence[1:],
            token_bytes=document.byte_spans,
            layers=self.reader.layers,
            increments=document.increments[..., 1:],
            mark_increments=document.increments[..., 0],
            surprisal_nats=document.surprisal_nats[1:],
            entropy_nats=document.entropy_nats[1:],
            config=self.reader.config,
            model_name=model.name_or_path or type(model).__name__,
            context=self.context,
            overlap=self.overlap,
            attention=attention,
        )

    def _token_ids(self, documents: list[_Document], batch: list[Window]) -> NDArray[np.int64]:
        token_ids = np.full((len(batch), len(batch[0])), self.mark)
        for row, window in enumerate(batch):
            token_ids[row, : len(window)] = documents[window.sequence].sequence[window.start : window.stop]
        return token_ids


def _check_numbers(document: _Document, dtype: torch.dtype) -> None:
    """Refuse results that nothing could be said of.

    Raises:
        NotMeasurableError: There are some that are infinite or no numbers.
    """
    for name, values in (("increments", document.increments), ("surprisal", document.surprisal_nats)):
        num_wrong = int(np.count_nonzero(~np.isfinite(values)))
        if num_wrong:
            raise NotMeasurableError(
                f"{num_wrong:,} of {values.size:,} values of the model's {name} are infinite or no numbers (its type "
                f"is {str(dtype).removeprefix('torch.')}); load it in float32, or check its weights"
            )


def document_mark(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that stands before a document: what the tokenizer itself puts there, else its end of sequence.

    Raises:
        TextError: It has neither.
    """
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if begin is not None and tokenizer("a")["input_ids"][:1] == [begin]:
        return int(begin)
    mark = begin if end is None else end
    if mark is None:
        raise TextError("the tokenizer has no token to begin a document with; set its eos_token")
    return int(mark)

"""What becomes of the loss when a text is longer than those that a model was trained on.

Whole documents of a source are strung together, each behind its document mark, to windows of the largest context; no
document is part of two windows, so windows are independent. Every context ends at the same token: the last half
training length of each window is scored with ever more text before it, so contexts are compared on the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import documents_of
from howfar.measures.inputs import Inputs
from howfar.measures.passes import byte_lengths, check_vocabulary
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FACTORS = (1, 2, 4, 8)


def extrapolation(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    training_length: int | None = None,
    factors: Sequence[int] = FACTORS,
    num_windows: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure the loss by position for contexts of several times the training length.

    Args:
        model: Any causal language model, with increments or without.
        texts: A corpus, of which the held-out documents are read, or texts.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        training_length: Tokens in the windows that the model was trained on; what its configuration says where None.
        factors: Contexts, as multiples of the training length; ascending, the first is what others are compared with.
        num_windows: The most windows for each source.
        seed: Of the intervals.
        progress: Called with how many windows are done and how many there are.

    Returns:
        One row per source (`all` first), context and half training length of positions `[start, stop)`: the loss in
        nats per byte as `value` with its 95% interval, `n` windows resampled. In the last row of each context, which
        scores the same bytes in all, also the `change` from the first context, paired by window. `note` says why there
        is no number.

    Raises:
        ConfigError: The factors are not ascending positive numbers.
        NotMeasurableError: There are no documents, or their tokens are not the model's.
    """
    if not factors or min(factors) < 1 or list(factors) != sorted(set(factors)):
        raise ConfigError(f"factors are {list(factors)}; they must be ascending whole numbers, such as {list(FACTORS)}")
    length = training_length or int(model.config.max_position_embeddings)
    reader = Reader(model, tokenizer, context=max(factors) * length)
    windows = _pack(reader, texts, num_windows)
    sources = np.array([source for source, own in windows.items() for _ in own])
    everything = [window for own in windows.values() for window in own]
    if not everything:
        needed = max(factors) * length
        return _table([{"source": "all", "note": f"not measurable: no source has {needed} tokens"}])
    check_vocabulary(reader, everything)
    lengths = byte_lengths(reader.tokenizer)
    lengths[reader.mark] = 0
    blocks = {}
    for number, factor in enumerate(factors):
        shorter = [Window(window.document, window.tokens[-factor * length :]) for window in everything]
        blocks[factor] = _by_block(reader, shorter, lengths, length // 2)
        if progress is not None:
            progress(number + 1, len(factors))
    rows: list[dict[str, Any]] = []
    for source in ("all", *windows):
        chosen = np.full(len(sources), True) if source == "all" else sources == source
        rows += _rows(source, blocks, chosen, length, seed)
    return _table(rows)


def _table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    import polars as pl

    schema: dict[str, Any] = {"source": pl.String} | dict.fromkeys(("times", "context", "start", "stop"), pl.Int64)
    schema |= dict.fromkeys(("value", "low", "high", "change", "change_low", "change_high"), pl.Float64)
    schema |= {"n": pl.Int64, "num_bytes": pl.Int64, "note": pl.String}
    return pl.DataFrame(rows, schema=schema)


def _pack(reader: Reader, texts: Corpus | Iterable[str], num_windows: int) -> dict[str, list[Window]]:
    """Windows of whole documents by source, each as long as asked for; what does not fill one is left out."""
    num_tokens = reader.context
    windows: dict[str, list[Window]] = {}
    unfinished: dict[str, list[NDArray[np.int64]]] = {}
    for document in documents_of(texts, reader.tokenizer):
        own = windows.setdefault(document.source, [])
        if len(own) == num_windows or not document.text:
            continue
        parts = unfinished.setdefault(document.source, [])
        # Text beyond the window need not be tokenized.
        tokens = byte_spans_of_tokens(reader.tokenizer, document.text[: 8 * num_tokens]).token_ids
        parts.append(np.append(reader.mark, tokens))
        if sum(map(len, parts)) >= num_tokens:
            own.append(Window(document.number, np.concatenate(parts)[:num_tokens]))
            parts.clear()
    return windows


def _by_block(reader: Reader, windows: Sequence[Window], lengths: NDArray[np.int64], block: int) -> NDArray[np.float64]:
    """Nats and bytes of each window's blocks of tokens; `[2, block, window]`."""
    sums = []
    for reading in reader.read(windows, "losses"):  # in their order, for they are of one length
        tokens = np.stack([window.tokens for window in reading.windows])
        # The first token of a window is not predicted, and predicting that a document ends predicts no byte.
        num_bytes = lengths[tokens]
        num_bytes[:, 0] = 0
        losses = reading.surprisal_nats.double().cpu().numpy()
        both = np.stack([np.where(num_bytes > 0, losses, 0.0), num_bytes])
        sums.append(np.add.reduceat(both, np.arange(0, tokens.shape[1], block), axis=-1))
    return np.moveaxis(np.concatenate(sums, axis=1), 1, 2)


def _rows(
    source: str, blocks: dict[int, NDArray[np.float64]], chosen: NDArray[np.bool_], length: int, seed: int
) -> Iterator[dict[str, Any]]:
    num_windows = int(chosen.sum())
    if num_windows < statistics.MIN_DOCUMENTS:
        yield {"source": source, "note": f"not measurable: {num_windows} windows of this length are too few"}
        return
    first = None
    for factor, sums in blocks.items():
        nats, num_bytes = sums[..., chosen]
        estimate = statistics.ratio(nats, num_bytes, seed=seed)
        first = first or estimate[-1]
        for index in range(len(nats)):
            row: dict[str, Any] = {"source": source, "times": factor, "context": factor * length}
            row |= {"start": index * (length // 2), "stop": (index + 1) * (length // 2)}
            row |= {"value": float(estimate.value[index])}
            row |= {"low": float(estimate[index].low), "high": float(estimate[index].high)}
            if index == len(nats) - 1:
                change = estimate[index] - first
                row |= {
                    "change": float(change.value),
                    "change_low": float(change.low),
                    "change_high": float(change.high),
                }
            yield row | {"n": num_windows, "num_bytes": int(num_bytes[index].sum())}


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    sized = inputs.sized("num_windows")
    return extrapolation(model, inputs.some_texts, seed=inputs.seed, progress=progress, **sized)


MEASURE = Measure(
    name="extrapolation",
    question="What is the loss in contexts longer than those of training?",
    run=_run,
    value="loss, nats per byte",
    counts="windows",
    sample="windows",
    columns=("source", "times", "start", "stop", "value [low, high]", "change [change_low, change_high]", "n"),
    matrix=Matrix(rows=("source", "start", "stop"), columns=("times",)),
    of_plain=True,
)

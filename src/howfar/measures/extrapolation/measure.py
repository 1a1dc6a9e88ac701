"""How does the loss change in contexts that are longer than those of training?

Whole documents of a source, each after its document mark, are concatenated to windows of the largest context. No
document is part of two windows, so windows are independent. Every context ends at the same token: the last half
training length of each window is scored with more and more text before it, so contexts are compared on the same bytes.

Equally many tokens are not equally many positions: if steps are twice as long, a context of the training length spans
twice as many positions. So the same bytes are scored a second time in contexts that span the same positions in all
sources. They are scored a third time with each layer's increments in random order, because accumulated positions may
extrapolate whatever their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure, of_texts
from howfar.measures.documents import documents_of
from howfar.measures.extrapolation.positions import in_random_order, matched, spans, spans_of
from howfar.measures.passes import byte_lengths, check_vocabulary
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]

FACTORS = (1, 2, 4, 8)
CHANGES = ("change", "matched_change", "random_change", "beyond_random")


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
        model: Any causal language model, with or without increments.
        texts: Texts, or a corpus, whose held-out documents are read.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        training_length: Tokens in the windows of training; from the model's configuration where None.
        factors: Contexts as multiples of the training length, ascending; the others are compared with the first.
        num_windows: The most windows per source.
        seed: Seed of the intervals and of the random order.
        progress: Called with how many contexts are done and how many there are.

    Returns:
        One row per source (`all` first), context and half training length of tokens `[start, stop)`: the loss in nats
        per byte as `value`, with its 95% interval over `n` windows. The last row of each context scores the same bytes
        in all contexts. It has further columns, paired by window, each with an interval (`_low`, `_high`):

        - `change`: change of the loss from the first context. `positions` is how many positions the context spans on
          average, in the layer and head with the longest span.
        - `matched_change`: the same between contexts that span the same number of positions in all sources: `times` the
          mean over sources of what a context of the training length spans. `matched_tokens` is how many tokens these
          contexts have, `matched_positions` how many positions they span, `matched_n` how many windows are long enough.
        - `random_change`: like `change`, with every layer's increments in random order in all contexts.
          `beyond_random` is `change` minus `random_change`.

        `note` says why a number is missing. There is no random order for plain positions, and there are no positions to
        match if increments are not summed (`accumulate=False`).

    Raises:
        ConfigError: The factors are not ascending positive whole numbers, or the training length is less than 2.
        NotMeasurableError: There are no documents, or their tokens are not the model's.
    """
    if not factors or min(factors) < 1 or list(factors) != sorted(set(factors)):
        raise ConfigError(f"factors are {list(factors)}; give ascending whole numbers, for example {list(FACTORS)}")
    length = int(model.config.get_text_config().max_position_embeddings) if training_length is None else training_length
    if length < 2:
        raise ConfigError(f"the training length is {length}; give at least 2 tokens")
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
    ends = {
        factor: [Window(window.document, window.tokens[-factor * length :]) for window in everything]
        for factor in factors
    }
    adds_up = reader.config is None or reader.config.accumulate
    known = spans_of(reader, everything) if adds_up else []
    reference = _mean_of_sources(sources, [span[-factors[0] * length] for span in known]) / factors[0]
    contexts: dict[int, _Context] = {}
    for number, (factor, shorter) in enumerate(ends.items()):
        contexts[factor] = _Context(
            _by_block(reader, shorter, lengths, length // 2),
            None if reader.config is None else _last_in_random_order(reader, shorter, lengths, length // 2, seed),
            np.array([span[-factor * length] for span in known]) if adds_up else None,
            _matched(reader, everything, known, factor * reference, lengths, length // 2) if adds_up else None,
        )
        if progress is not None:
            progress(number + 1, len(factors))
    rows: list[dict[str, Any]] = []
    for source in ("all", *windows):
        chosen = np.full(len(sources), True) if source == "all" else sources == source
        rows += _rows(source, contexts, chosen, length, seed)
    return _table(rows)


@dataclass(frozen=True)
class _Context:
    """Losses of all windows in one context.

    Attributes:
        blocks: Nats and bytes of blocks of tokens, `[2, block, window]`.
        random: Nats and bytes of the last block with increments in random order, `[2, window]`; None without
            increments.
        positions: Positions that each window spans, `[window]`; None if increments are not summed.
        matched: Nats and bytes of the last block, tokens, and positions in contexts matched by positions,
            `[4, window]`; 0 for a window that is too short. None if increments are not summed.
    """

    blocks: Array
    random: Array | None
    positions: Array | None
    matched: Array | None


def _mean_of_sources(sources: NDArray[Any], positions: Sequence[float]) -> float:
    """The mean over sources of the means of their windows, so that all sources have equal weight."""
    found = np.array(positions)
    return float(np.mean([found[sources == source].mean() for source in np.unique(sources)])) if len(found) else 0.0


def _last_in_random_order(
    reader: Reader, windows: Sequence[Window], lengths: NDArray[np.int64], block: int, seed: int
) -> Array:
    with in_random_order(reader, seed):
        return _by_block(reader, windows, lengths, block)[:, -1]


def _matched(
    reader: Reader,
    windows: Sequence[Window],
    known: Sequence[Array],
    positions: float,
    lengths: NDArray[np.int64],
    block: int,
) -> Array:
    """Nats, bytes, tokens and positions of contexts that span `positions`; `[4, window]`, as in `_Context.matched`."""
    found = np.zeros((4, len(windows)))
    ends = [window for window in matched(windows, known, positions, block + 1) if window is not None]
    for reading in reader.read(ends, "losses", "increments"):
        losses = reading.surprisal_nats.double().cpu().numpy()
        for row, (window, span) in enumerate(zip(reading.windows, spans(reading), strict=True)):
            last = slice(len(window) - block, len(window))
            num_bytes = lengths[window.tokens[last]]
            nats = np.where(num_bytes > 0, losses[row, last], 0.0).sum()
            found[:, window.document] = nats, num_bytes.sum(), len(window), span[0]
    return found


def _table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    schema: dict[str, Any] = {"source": pl.String} | dict.fromkeys(("times", "context", "start", "stop"), pl.Int64)
    schema |= dict.fromkeys(("value", "low", "high"), pl.Float64)
    schema |= {f"{name}{end}": pl.Float64 for name in CHANGES for end in ("", "_low", "_high")}
    schema |= dict.fromkeys(("positions", "matched_tokens", "matched_positions"), pl.Float64)
    schema |= dict.fromkeys(("matched_n", "n", "num_bytes"), pl.Int64) | {"note": pl.String}
    return pl.DataFrame(rows, schema=schema)


def _pack(reader: Reader, texts: Corpus | Iterable[str], num_windows: int) -> dict[str, list[Window]]:
    """Windows of the reader's context by source, made of whole documents; an incomplete window is left out."""
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


def _starts(num_tokens: int, block: int) -> NDArray[np.int64]:
    """The first tokens of a context's blocks, counted from its end; what is left over belongs to the first block."""
    starts = np.arange(num_tokens % block, num_tokens, block)
    starts[0] = 0
    return starts


def _by_block(reader: Reader, windows: Sequence[Window], lengths: NDArray[np.int64], block: int) -> NDArray[np.float64]:
    """Nats and bytes of each window's blocks of tokens; `[2, block, window]`."""
    sums = []
    for reading in reader.read(windows, "losses"):  # in their order, because they have the same length
        tokens = np.stack([window.tokens for window in reading.windows])
        # The first token of a window is not predicted, and a document mark has no bytes.
        num_bytes = lengths[tokens]
        num_bytes[:, 0] = 0
        losses = reading.surprisal_nats.double().cpu().numpy()
        both = np.stack([np.where(num_bytes > 0, losses, 0.0), num_bytes])
        sums.append(np.add.reduceat(both, _starts(tokens.shape[1], block), axis=-1))
    return np.moveaxis(np.concatenate(sums, axis=1), 1, 2)


def _rows(
    source: str, contexts: dict[int, _Context], chosen: NDArray[np.bool_], length: int, seed: int
) -> Iterator[dict[str, Any]]:
    num_windows = int(chosen.sum())
    if num_windows < statistics.MIN_DOCUMENTS:
        yield {"source": source, "note": f"not measurable: {num_windows} windows of this length are too few"}
        return
    first = next(iter(contexts.values()))
    for factor, context in contexts.items():
        nats, num_bytes = context.blocks[..., chosen]
        estimate = statistics.ratio(nats, num_bytes, seed=seed)
        edges = [*_starts(factor * length, length // 2).tolist(), factor * length]
        for index in range(len(nats)):
            row: dict[str, Any] = {"source": source, "times": factor, "context": factor * length}
            row |= {"start": edges[index], "stop": edges[index + 1]}
            row |= estimate[index].row()
            if index == len(nats) - 1:
                row |= _changes(first, context, chosen, seed)
            yield row | {"n": num_windows, "num_bytes": int(num_bytes[index].sum())}


def _changes(first: _Context, context: _Context, chosen: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    """Changes from the first context: in the true order, in random order, and in contexts matched by positions."""
    change = _change(first.blocks[:, -1, chosen], context.blocks[:, -1, chosen], seed)
    row = change.row("change")
    if first.random is not None and context.random is not None:
        random = _change(first.random[:, chosen], context.random[:, chosen], seed)
        row |= random.row("random_change") | (change - random).row("beyond_random")
    if context.positions is not None and first.matched is not None and context.matched is not None:
        matched, reference = context.matched[:, chosen], first.matched[:, chosen]
        is_long = (matched[2] > 0) & (reference[2] > 0)
        row |= {"positions": float(context.positions[chosen].mean()), "matched_n": int(is_long.sum())}
        if is_long.sum() >= statistics.MIN_DOCUMENTS:
            row |= _change(reference[:2, is_long], matched[:2, is_long], seed).row("matched_change")
            _, _, num_tokens, positions = matched[:, is_long].mean(axis=1).tolist()
            row |= {"matched_tokens": num_tokens, "matched_positions": positions}
    return row


def _change(before: Array, after: Array, seed: int) -> statistics.Estimate:
    """The difference of two losses in nats per byte, each given as nats and bytes, `[2, window]`."""
    return statistics.ratio(*after, seed=seed) - statistics.ratio(*before, seed=seed)


MEASURE = Measure(
    name="extrapolation",
    question="What is the loss in contexts longer than those of training?",
    run=of_texts(extrapolation, "num_windows"),
    value="loss, nats per byte",
    counts="windows",
    takes=("training_length",),
    sample="windows",
    columns=(
        *("source", "times", "start", "stop", "value [low, high]", "change [change_low, change_high]", "positions"),
        "matched_change [matched_change_low, matched_change_high]",
        *("beyond_random [beyond_random_low, beyond_random_high]", "n"),
    ),
    matrix=Matrix(rows=("source", "start", "stop"), columns=("times",)),
    of_plain=True,
)

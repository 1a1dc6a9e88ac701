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
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure, of_texts
from howfar.measures.documents import documents_of
from howfar.measures.passes import byte_lengths, check_vocabulary
from howfar.measures.random_order import in_random_order
from howfar.measures.tables import Row, table
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.readings import Reading
from howfar.reading.windows import Window
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FACTORS = (1, 2, 4, 8)
MIN_SHARE = 0.9  # of windows that must span as many positions as a matched context
_CHANGES = ("change", "matched_change", "random_change", "beyond_random")
_COLUMNS: tuple[tuple[type, str], ...] = (
    *((str, "source"), (int, "times context start stop"), (float, "value low high")),
    *((float, " ".join(statistics.columns_of(name))) for name in _CHANGES),
    *((float, "positions matched_tokens matched_positions"), (int, "matched_n n num_bytes")),
)


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
        training_length: Tokens in the windows of training; from the model's configuration where None.
        factors: Contexts as multiples of the training length, ascending; the others are compared with the first.
        num_windows: The most windows per source.

    Returns:
        One row per source (`all` first), context and half training length of tokens `[start, stop)`: the loss in nats
        per byte as `value`, with its 95% interval over `n` windows. The last row of each context scores the same bytes
        in all contexts. It has further columns, paired by window, each with an interval (`_low`, `_high`):

        - `change`: change of the loss from the first context. `positions` is how many positions the context spans on
          average, in the layer and head with the longest span.
        - `matched_change`: the same between contexts that span the same number of positions in all sources: `times` the
          mean over sources of what a context of the training length spans. `matched_tokens` is how many tokens these
          contexts have, `matched_positions` how many positions they span, `matched_n` how many windows are long enough:
          at least 9 of 10, or there is no number.
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
    everything = [Window(number, tokens) for number, tokens in enumerate(chain.from_iterable(windows.values()))]
    if not everything:
        return table([{"source": "all", "note": f"not measurable: no source has {reader.context} tokens"}], *_COLUMNS)
    check_vocabulary(reader, everything)
    lengths = byte_lengths(reader.tokenizer)
    lengths[reader.mark] = 0  # a document mark has no bytes
    adds_up = reader.config is None or reader.config.accumulate
    known = _spans_of(reader, everything) if adds_up else []
    shortest = np.array([span[-factors[0] * length] for span in known])
    by_source = [shortest[sources == source].mean() for source in np.unique(sources)] if adds_up else [0.0]
    reference = float(np.mean(by_source)) / factors[0]  # all sources have equal weight
    contexts: dict[int, _Context] = {}
    for factor in followed(factors, progress, len(factors)):
        shorter = [Window(window.document, window.tokens[-factor * length :]) for window in everything]
        blocks, random = _by_block(reader, shorter, lengths, length // 2), None
        if reader.config is not None:
            with in_random_order(reader, seed):
                random = _by_block(reader, shorter, lengths, length // 2)[:, -1]
        positions, matched = None, None
        if adds_up:
            positions = np.array([span[-factor * length] for span in known])
            matched = _matched(reader, everything, known, factor * reference, lengths, length // 2)
        contexts[factor] = _Context(blocks, random, positions, matched)
    members = {"all": np.full(len(sources), True)} | {source: sources == source for source in windows}
    rows = (row for source, chosen in members.items() for row in _rows(source, contexts, chosen, length, seed))
    return table(rows, *_COLUMNS)


@dataclass(frozen=True)
class _Context:
    """Losses of all windows in one context."""

    blocks: Array  # nats and bytes of blocks of tokens, `[2, block, window]`
    random: Array | None  # of the last block with increments in random order, `[2, window]`; None without increments
    positions: Array | None  # that each window spans, `[window]`; None if increments are not summed, as for `matched`
    matched: Array | None  # `[4, window]`, from `_matched`


def _matched(
    reader: Reader,
    windows: Sequence[Window],
    known: Sequence[Array],
    positions: float,
    lengths: Integers,
    block: int,
) -> Array:
    """The last block in contexts that span `positions`: nats, bytes, tokens and positions; `[4, window]`.

    Windows are cut at the beginning. The numbers of one that is too short are 0.
    """
    found = np.zeros((4, len(windows)))
    ends = []
    for window, span in zip(windows, known, strict=True):
        reaching = np.flatnonzero(span >= positions)
        if len(reaching):
            start = min(int(reaching[-1]), len(window) - block - 1)
            ends.append(Window(window.document, window.tokens[start:]))
    for reading in reader.read(ends, "losses", "increments"):
        losses = reading.surprisal_nats.double().cpu().numpy()
        for row, (window, span) in enumerate(zip(reading.windows, _spans(reading), strict=True)):
            last = slice(len(window) - block, len(window))
            num_bytes = lengths[window.tokens[last]]
            nats = np.where(num_bytes > 0, losses[row, last], 0.0).sum()
            found[:, window.document] = nats, num_bytes.sum(), len(window), span[0]
    return found


def _spans(reading: Reading) -> list[Array]:
    """Positions that each window spans from each token to its end, including the token's own step; `[token]`.

    This is the maximum over layers and heads, because there a window first exceeds the positions of training.
    """
    stacked = torch.cat([of_layer.double() for of_layer in reading.increments.values()], dim=1).cpu().numpy()
    return [
        np.cumsum(stacked[row, :, len(window) - 1 :: -1], axis=1)[:, ::-1].max(axis=0)
        for row, window in enumerate(reading.windows)
    ]


def _spans_of(reader: Reader, windows: Sequence[Window]) -> list[Array]:
    """The spans of windows, in their order."""
    found: dict[Window, Array] = {}
    for reading in reader.read(windows, "increments"):
        found |= zip(reading.windows, _spans(reading), strict=True)
    return [found[window] for window in windows]


def _pack(reader: Reader, texts: Corpus | Iterable[str], num_windows: int) -> dict[str, list[Integers]]:
    """Tokens of windows of the reader's context by source, of whole documents; an incomplete window is left out."""
    windows: dict[str, list[Integers]] = {}
    unfinished: dict[str, list[Integers]] = {}
    for document in documents_of(texts, reader.tokenizer):
        own = windows.setdefault(document.source, [])
        if len(own) == num_windows or not document.text:
            continue
        parts = unfinished.setdefault(document.source, [])
        # Text beyond the window need not be tokenized.
        tokens = byte_spans_of_tokens(reader.tokenizer, document.text[: 8 * reader.context]).token_ids
        parts.append(np.append(reader.mark, tokens))
        if sum(map(len, parts)) >= reader.context:
            own.append(np.concatenate(parts)[: reader.context])
            parts.clear()
    return windows


def _starts(num_tokens: int, block: int) -> Integers:
    """The first tokens of a context's blocks, counted from its end; what is left over belongs to the first block."""
    starts = np.arange(num_tokens % block, num_tokens, block)
    starts[0] = 0
    return starts


def _by_block(reader: Reader, windows: Sequence[Window], lengths: Integers, block: int) -> Array:
    """Nats and bytes of each window's blocks of tokens; `[2, block, window]`."""
    sums = []
    for reading in reader.read(windows, "losses"):  # in their order, because they have the same length
        num_bytes = lengths[np.stack([window.tokens for window in reading.windows])]
        num_bytes[:, 0] = 0  # the first token of a window is not predicted
        losses = reading.surprisal_nats.double().cpu().numpy()
        both = np.stack([np.where(num_bytes > 0, losses, 0.0), num_bytes])
        sums.append(np.add.reduceat(both, _starts(num_bytes.shape[1], block), axis=-1))
    return np.moveaxis(np.concatenate(sums, axis=1), 1, 2)


def _rows(
    source: str, contexts: dict[int, _Context], chosen: NDArray[np.bool_], length: int, seed: int
) -> Iterator[Row]:
    num_windows = int(chosen.sum())
    if num_windows < statistics.MIN_DOCUMENTS:
        yield {"source": source, "note": f"not measurable: {num_windows} windows of this length are too few"}
        return
    first = next(iter(contexts.values()))
    for factor, context in contexts.items():
        nats, num_bytes = context.blocks[..., chosen]
        estimate = statistics.ratio(nats, num_bytes, seed=seed)
        edges = [*_starts(factor * length, length // 2).tolist(), factor * length]
        for index, (start, stop) in enumerate(pairwise(edges)):
            row: Row = {"source": source, "times": factor, "context": factor * length, "start": start, "stop": stop}
            row |= estimate[index].row()
            if index == len(nats) - 1:
                row |= _changes(first, context, chosen, seed)
            yield row | {"n": num_windows, "num_bytes": int(num_bytes[index].sum())}


def _changes(first: _Context, context: _Context, chosen: NDArray[np.bool_], seed: int) -> Row:
    """Changes from the first context: in the true order, in random order, and in contexts matched by positions."""
    change = _change(first.blocks[:, -1, chosen], context.blocks[:, -1, chosen], seed)
    row: Row = change.row("change")
    if first.random is not None and context.random is not None:
        random = _change(first.random[:, chosen], context.random[:, chosen], seed)
        row |= random.row("random_change") | (change - random).row("beyond_random")
    if context.positions is not None and first.matched is not None and context.matched is not None:
        matched, reference = context.matched[:, chosen], first.matched[:, chosen]
        is_long = (matched[2] > 0) & (reference[2] > 0)
        row |= {"positions": float(context.positions[chosen].mean()), "matched_n": int(is_long.sum())}
        # Windows with steps that are long enough are not like the others.
        if is_long.sum() < max(MIN_SHARE * len(is_long), statistics.MIN_DOCUMENTS):
            row["note"] = f"positions are not matched: {is_long.sum()} of {len(is_long)} windows span as many"
        else:
            row |= _change(reference[:2, is_long], matched[:2, is_long], seed).row("matched_change")
            means = matched[2:, is_long].mean(axis=1).tolist()
            row |= dict(zip(("matched_tokens", "matched_positions"), means, strict=True))
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

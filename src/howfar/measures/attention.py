"""How far each attention head looks, in tokens and in learned positions, and whether this correlates with increments.

The distance of a head at a query is the mean distance of the keys, weighted by its attention: in tokens, or in learned
positions. The latter is `position(query) - position(key)`, so a query's own increment is part of it by construction
(with `advance="before"`); the correlation in tokens is free of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.corpus.corpus import Corpus
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure, of_texts
from howfar.measures.documents import SourcedTexts
from howfar.measures.layers import limits_of
from howfar.measures.passes import sample_windows, window_length
from howfar.measures.tables import Row, measured, places_of, table
from howfar.positions import Increments, increments_of
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.readings import Reading
from howfar.reading.windows import Window

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNITS = ("tokens", "positions")

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def attention(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    num_documents: int = 64,
    batch_size: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure how far heads look, and correlate this with the increments.

    A plain model has distances in tokens only, and so has one whose increments are not summed (`accumulate=False`).

    Returns:
        One row per quantity, unit (`tokens` or `positions`), layer and head, with a `value` and its 95% interval:

        - `increment`: the mean increment of the head's keys.
        - `distance`: the mean attention distance.
        - `distance of even attention`: the distance if the head attended equally to all tokens that it may
          attend to: all earlier ones, or those in its sliding window.
        - `distance over even attention`: the quotient of the two, which separates a head's choice from what a window
          allows: 1 for even attention, with or without sinks. Null if a head sees only its own token.
        - `rank correlation over queries`: of a query's increment with the head's distance there, among queries at the
          same index in windows of the same source of the corpus (Spearman of ranks among those), because both grow
          with the index by themselves, and languages differ in both.
        - `correlation over heads` and `rank correlation over heads`: of a head's mean increment with its mean distance;
          one number for the model (layer and head null), with an interval over heads, not documents. `over layers` if
          the heads of a layer share their increments.

        `n` is the number of documents read; `note` says why a number is missing.

    Raises:
        UnsupportedModelError: The model has no rotary positions.
        NotMeasurableError: There are too few documents.
    """
    reader = Reader(model, tokenizer, context=window_length(model), batch_size=batch_size)
    windows = sample_windows(reader, texts, num_documents=num_documents, seed=seed)
    found: dict[Window, dict[str, Array]] = {}
    readings = reader.read(windows, "increments", "positions", "attention")
    for reading in followed(readings, progress, len(windows), lambda reading: len(reading.windows)):
        found |= zip(reading.windows, _distances(reading), strict=True)
    parts = [found[window] for window in windows]
    lengths = [part["increment"].shape[-1] for part in parts]
    documents = np.repeat(np.arange(len(parts)), lengths)
    by_query = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    groups = _groups(texts, windows, lengths)
    limits = dict.fromkeys(by_query, (0.0, math.inf))
    has_increments = reader.config is not None and reader.config.accumulate
    if has_increments:
        own = by_query["increment"]
        limits["increment"] = limits_of(increments_of(model), own.min(), own.max())
        if limits["increment"][0] < 0:  # positions may go backwards
            limits |= dict.fromkeys(("positions", "even_positions"), limits["increment"])
    means = {
        name: statistics.mean(values, documents, seed=seed, limits=limits[name]) for name, values in by_query.items()
    }
    means |= {f"{unit} over even": means[unit] / means[f"even_{unit}"] for unit in UNITS}
    rows = [
        {"quantity": quantity, "unit": unit} | place | _numbers(means[name][index])
        for name, (quantity, unit) in _QUANTITIES.items()
        if has_increments or unit == "tokens"
        for index, place in places_of(reader.layers, means[name].value.shape[1])
    ]
    for unit in UNITS if has_increments else ():
        for index, place in places_of(reader.layers, by_query[unit].shape[1]):
            sides = by_query["increment"][index], by_query[unit][index]
            row = {"quantity": "rank correlation over queries", "unit": unit} | place
            rows.append(measured(row, partial(_over_queries, *sides, groups, documents, seed)))
        rows += _over_heads(increments_of(model), means["increment"].value, means[unit].value, unit)
    return table(
        (row | {"n": len(windows)} for row in rows),
        *((str, "quantity unit"), (int, "layer head"), (float, "value low high p_value"), (int, "n")),
    )


_BY_QUERY = {
    "increment": ("increment", "positions"),
    "tokens": ("distance", "tokens"),
    "positions": ("distance", "positions"),
    "even_tokens": ("distance of even attention", "tokens"),
    "even_positions": ("distance of even attention", "positions"),
}
_QUANTITIES = _BY_QUERY | {f"{unit} over even": ("distance over even attention", unit) for unit in UNITS}


def _numbers(estimate: statistics.Estimate) -> Row:
    """The columns of an estimate; where it has no value, a note."""
    row: Row = estimate.row()
    return row if row["value"] is not None else row | {"note": "not measurable: the head sees no token but its own"}


def _distances(reading: Reading) -> list[dict[str, Array]]:
    """Each window's increments and distances by query, `[layer, head, query]`; without the first token."""
    columns: dict[str, list[Array]] = {name: [] for name in _BY_QUERY}
    for layer, weights in reading.attention.items():
        num_heads = weights.shape[1]
        increments, positions = (
            values[layer].double().repeat_interleave(num_heads // values[layer].shape[1], dim=1)
            for values in (reading.increments, reading.positions)
        )
        tokens = torch.arange(weights.shape[-1], dtype=torch.float64, device=weights.device).expand_as(positions)
        columns["increment"].append(increments.cpu().numpy())
        for unit, places in (("tokens", tokens), ("positions", positions)):
            columns[unit].append((places - _looked_at(weights, places)).cpu().numpy())
            columns[f"even_{unit}"].append((places - _looked_at(reading.visible[layer], places)).cpu().numpy())
    stacked = {name: np.stack(values, axis=1) for name, values in columns.items()}
    return [
        {name: values[row][..., 1 : len(window)] for name, values in stacked.items()}
        for row, window in enumerate(reading.windows)
    ]


def _looked_at(weights: Tensor, places: Tensor) -> Tensor:
    """The mean position of the keys that each query attends to; `[window, head, query]`.

    Weights need not sum to 1: attention sinks take a share that goes to no key.
    """
    weights = weights.double()
    return torch.einsum("bhqk,bhk->bhq", weights, places) / weights.sum(dim=-1)


def _groups(texts: Corpus | Iterable[str], windows: list[Window], lengths: list[int]) -> Integers:
    """A number of each query that is the same for those at the same index in windows of one source."""
    of_windows = np.zeros(len(windows), dtype=np.int64)
    if isinstance(texts, (Corpus, SourcedTexts)):
        of_documents = np.asarray(texts.held_out.sources if isinstance(texts, Corpus) else texts.sources)
        of_windows = of_documents[[window.document for window in windows]]
    indices = np.concatenate([np.arange(length) for length in lengths])
    return statistics.groups_of((np.repeat(of_windows, lengths), indices), len(indices))


def _over_queries(increments: Array, distances: Array, groups: Integers, documents: Integers, seed: int) -> Row:
    """Correlate over the queries of a head `[query]`, within groups: an index in windows of one source."""
    # Beyond four digits the values hold float32 noise, and so would their ranks.
    x, y = (_ranked_in_group(side.round(4), groups) for side in (increments, distances))
    return statistics.rank_correlation(x, y, documents, seed=seed).row()


def _ranked_in_group(values: Array, groups: Integers) -> Array:
    """Ranks among the queries of the same group, from -0.5 to 0.5; 0 for a query without others."""
    from scipy.stats import rankdata

    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    ranked = np.empty(len(values))
    for members in np.split(order, starts[1:]):
        ranked[members] = (rankdata(values[members]) - 0.5) / len(members) - 0.5
    return ranked


def _over_heads(own: Increments, increments: Array, distances: Array, unit: str) -> list[Row]:
    """Correlate mean increments with mean distances, `[layer, head]`, over all independent increments."""
    config, sets = own.config, own.num_heads if own.config.per_head else 1
    # Heads that share increments are not independent cases: those of a layer, or of a key-value head.
    increments, distances = (of.reshape(len(of), sets, -1).mean(axis=2) for of in (increments, distances))
    if config.scope == "shared":
        increments, distances = increments[:1], distances.mean(axis=0, keepdims=True)

    def correlate(rank: bool) -> Row:
        return statistics.correlation(increments.ravel(), distances.ravel(), rank=rank).row()

    quantity = f"correlation over {'heads' if config.per_head else 'layers'}"
    return [
        measured({"quantity": f"{'rank ' * rank}{quantity}", "unit": unit}, partial(correlate, rank))
        for rank in (False, True)
    ]


MEASURE = Measure(
    name="attention",
    question="How far back do heads look, and does that correlate with the increments?",
    run=of_texts(attention, "num_documents"),
    value="the quantity named in its row, in tokens or in positions",
    counts="documents",
    sample="documents",
    columns=("quantity", "unit", "layer", "head", "value [low, high]", "n"),
    matrix=Matrix(rows=("layer", "head"), columns=("quantity", "unit")),
    limits={"rank correlation over queries": (-1.0, 1.0)},
    not_over_cases=tuple(f"{kind}correlation over {cases}" for kind in ("", "rank ") for cases in ("heads", "layers")),
    of_plain=True,
)

"""The rows of the table of `contexts`: passages, and the distribution of increments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from howfar.measures.contexts.extremes import Candidate, choose
from howfar.measures.contexts.passages import Ends, Passage
from howfar.measures.statistics.streaming import ClassMoments, StreamSample

KINDS = ("largest", "smallest", "above its class", "below its class")
"""Kinds of passages: by increment, and by its distance from the mean of its class."""

DISTRIBUTION = "distribution"
"""Kind of the rows that give quantiles of increments."""

SHARES = (0.001, 0.005, 0.01, 0.025, *np.arange(0.05, 0.96, 0.05).round(2).tolist(), 0.975, 0.99, 0.995, 0.999)
ALL_CLASSES = "all"

MIN_TOKENS = 100
"""Classes with fewer tokens have no rows of their own."""

ROUNDING = 1e-5
"""A standard deviation below this share of a class's mean is rounding."""


@dataclass(frozen=True)
class Found:
    """Everything that is kept of the texts. A quantity is the increments of one layer and head.

    Attributes:
        ends: The extreme passages.
        moments: Mean and standard deviation of each class.
        sample: A sample of increments, with the class as one more quantity.
        layers: The layer of each quantity; None for shared increments.
        heads: The head of each quantity.
        names: Names of the classes.
    """

    ends: Ends
    moments: ClassMoments
    sample: StreamSample
    layers: tuple[int | None, ...]
    heads: tuple[int, ...]
    names: tuple[str, ...]


def passage_rows(found: Found, num: int, per_document: int, width: int) -> Iterator[dict[str, Any]]:
    """At most `num` passages of each quantity and kind, most extreme first."""
    counts, means, deviations = found.moments.counts, found.moments.mean, found.moments.sd
    for quantity, (layer, head) in enumerate(zip(found.layers, found.heads, strict=True)):
        mean, sd = means[quantity], deviations[quantity]
        with np.errstate(invalid="ignore"):
            is_usable = (counts >= MIN_TOKENS) & (sd > ROUNDING * np.maximum(np.abs(mean), 1.0))
        for kind, sign in zip(KINDS, (1, -1, 1, -1), strict=True):
            by_class = "class" in kind
            pools = [
                [_standardised(candidate, sign, mean, sd) for candidate in candidates] if by_class else candidates
                for of_class in range(len(found.names))
                if is_usable[of_class] or not by_class
                for candidates in [found.ends.candidates(sign, quantity, of_class)]
            ]
            every = [candidate for pool in pools for candidate in pool]
            # If the increment depends on the token alone, passages are only examples, so they may be close together.
            limits = (len(every), 0) if quantity in found.ends.by_token else (per_document, width)
            chosen = choose(every, num, per_section=limits[0], apart=limits[1])
            for rank, candidate in enumerate(chosen, start=1):
                of_class = candidate.item.class_number
                increment = sign * candidate.value
                if by_class:
                    increment = mean[of_class] + increment * sd[of_class]
                yield {
                    **{"kind": kind, "layer": layer, "head": head, "rank": rank, "increment": increment},
                    "class": found.names[of_class],
                    "deviation": (increment - mean[of_class]) / sd[of_class] if is_usable[of_class] else None,
                    "class_mean": mean[of_class],
                    "class_sd": sd[of_class],
                    "num_tokens": int(counts[of_class]),
                    **_passage(candidate.item),
                }


def _standardised(candidate: Candidate[Passage], sign: int, mean: Any, sd: Any) -> Candidate[Passage]:
    of_class = candidate.item.class_number
    value = (candidate.value - sign * mean[of_class]) / sd[of_class]
    return Candidate(float(value), candidate.key, candidate.section, candidate.place, candidate.item)


def _passage(passage: Passage) -> dict[str, Any]:
    return {
        **{name: getattr(passage, name) for name in ("left", "scored", "right", "surprisal_nats", "token_id")},
        "byte": passage.byte_place,
        "token_hex": passage.token.hex(" ").upper(),
        **{name: getattr(passage, name) for name in ("source", "document", "character")},
    }


def distribution_rows(found: Found) -> Iterator[dict[str, Any]]:
    """Quantiles of the increments of each class."""
    *of_quantities, classes = found.sample.values
    counts = found.moments.counts
    for layer, head, values in zip(found.layers, found.heads, of_quantities, strict=True):
        groups = {ALL_CLASSES: (values, int(counts.sum()))}
        groups |= {
            name: (values[classes == number], int(counts[number]))
            for number, name in enumerate(found.names)
            if (classes == number).sum() >= MIN_TOKENS
        }
        for name, (members, num_tokens) in groups.items():
            for share, increment in zip(SHARES, np.quantile(members, SHARES), strict=True):
                row = {"kind": DISTRIBUTION, "layer": layer, "head": head, "class": name, "share": share}
                yield row | {"increment": float(increment), "num_tokens": num_tokens}


def table_of(rows: Sequence[dict[str, Any]], model: str) -> pl.DataFrame:
    """The table of a model's rows."""
    schema: dict[str, Any] = {
        "kind": pl.String, "layer": pl.Int64, "head": pl.Int64, "rank": pl.Int64, "increment": pl.Float64,
        "class": pl.String, "deviation": pl.Float64, "class_mean": pl.Float64, "class_sd": pl.Float64,
        "num_tokens": pl.Int64, "left": pl.String, "scored": pl.String, "right": pl.String, "byte": pl.Int64,
        "token_id": pl.Int64, "token_hex": pl.String, "surprisal_nats": pl.Float64, "source": pl.String,
        "document": pl.Int64, "character": pl.Int64, "share": pl.Float64, "model": pl.String,
    }  # fmt: skip
    return pl.DataFrame([row | {"model": model} for row in rows], schema=schema)

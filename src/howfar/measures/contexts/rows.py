"""The rows of the table of `contexts`: passages, and the distribution of increments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from howfar.measures.contexts.passages import Ends, choose
from howfar.measures.statistics.streaming import ClassMoments, StreamSample
from howfar.measures.tables import Row

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
    """Everything that is kept of the texts. A quantity is the increments of one layer and head."""

    ends: Ends  # the extreme passages
    moments: ClassMoments  # mean and standard deviation of each class
    sample: StreamSample  # of increments, with the class as one more quantity
    places: tuple[Row, ...]  # of each quantity: `layer` (None for shared increments) and `head`
    names: tuple[str, ...]  # of the classes


def passage_rows(found: Found, num: int, per_document: int, width: int) -> Iterator[Row]:
    """At most `num` passages of each quantity and kind, most extreme first."""
    counts, means, deviations = found.moments.counts, found.moments.mean, found.moments.sd
    for quantity, place in enumerate(found.places):
        mean, sd = means[quantity], deviations[quantity]
        with np.errstate(invalid="ignore"):
            is_usable = (counts >= MIN_TOKENS) & (sd > ROUNDING * np.maximum(np.abs(mean), 1.0))
        for kind, sign in zip(KINDS, (1, -1, 1, -1), strict=True):
            by_class = "class" in kind
            every = []
            for of_class in np.flatnonzero(is_usable) if by_class else range(len(found.names)):
                for candidate in found.ends.candidates(sign, quantity, int(of_class)):
                    value = candidate.value
                    if by_class:
                        value = float((value - sign * mean[of_class]) / sd[of_class])
                    every.append(replace(candidate, value=value, item=candidate.item | {"class": int(of_class)}))
            # If the increment depends on the token alone, passages are only examples, so they may be close together.
            limits = (len(every), 0) if quantity in found.ends.by_token else (per_document, width)
            chosen = choose(every, num, per_section=limits[0], apart=limits[1])
            for rank, candidate in enumerate(chosen, start=1):
                of_class = candidate.item["class"]
                increment = sign * candidate.value
                if by_class:
                    increment = mean[of_class] + increment * sd[of_class]
                yield {
                    **candidate.item,
                    **{"kind": kind, **place, "rank": rank, "increment": increment, "class": found.names[of_class]},
                    "deviation": (increment - mean[of_class]) / sd[of_class] if is_usable[of_class] else None,
                    **{"class_mean": mean[of_class], "class_sd": sd[of_class], "num_tokens": int(counts[of_class])},
                }


def distribution_rows(found: Found) -> Iterator[Row]:
    """Quantiles of the increments of each class."""
    *of_quantities, classes = found.sample.values
    counts = found.moments.counts
    for place, values in zip(found.places, of_quantities, strict=True):
        groups = {ALL_CLASSES: (values, int(counts.sum()))}
        groups |= {
            name: (values[classes == number], int(counts[number]))
            for number, name in enumerate(found.names)
            if (classes == number).sum() >= MIN_TOKENS
        }
        for name, (members, num_tokens) in groups.items():
            for share, increment in zip(SHARES, np.quantile(members, SHARES), strict=True):
                row = {"kind": DISTRIBUTION, **place, "class": name, "share": share}
                yield row | {"increment": float(increment), "num_tokens": num_tokens}


def table_of(rows: Sequence[Row], model: str) -> pl.DataFrame:
    """The table of a model's rows."""
    schema: dict[str, Any] = {
        "kind": pl.String, "layer": pl.Int64, "head": pl.Int64, "rank": pl.Int64, "increment": pl.Float64,
        "class": pl.String, "deviation": pl.Float64, "class_mean": pl.Float64, "class_sd": pl.Float64,
        "num_tokens": pl.Int64, "left": pl.String, "scored": pl.String, "right": pl.String, "byte": pl.Int64,
        "token_id": pl.Int64, "token_hex": pl.String, "surprisal_nats": pl.Float64, "source": pl.String,
        "document": pl.Int64, "character": pl.Int64, "share": pl.Float64, "model": pl.String,
    }  # fmt: skip
    return pl.DataFrame([row | {"model": model} for row in rows], schema=schema)

"""A measure of several models of one kind, for example seeds: each by itself, and all of them together.

An interval over documents says nothing about other seeds. One over models includes the variance of seeds and of
documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from howfar.errors import NotMeasurableError
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.statistics import over_intervals

ALL = "all models"


def over_models(tables: Mapping[str, pl.DataFrame], measure: Measure) -> pl.DataFrame:
    """Combine tables of one measure.

    Args:
        tables: One per model; each on the same documents.
        measure: The measure.

    Returns:
        The rows of all tables with the model's name as `model`, preceded by one row `all models` for each row that
        all tables have: the mean as `value`, with an interval over seeds and documents for `n` models, and
        `seed_share`, an upper bound of the share of a single model's variance due to its seed. Documents are taken
        to affect all models alike; if they do not, the interval is too wide. A layer of one model need not do what
        the same layer of another does.

    Raises:
        NotMeasurableError: The measure's rows are not estimates.
    """
    if measure.rows:
        raise NotMeasurableError(f"rows of {measure.name} are not estimates, so models have no mean; give one model")
    single = pl.concat([table.with_columns(model=pl.lit(name)) for name, table in tables.items()])
    names = _identity(measure, single)
    rows = []
    for key, group in single.group_by(names, maintain_order=True):
        if len(group) == len(tables):
            rows.append(dict(zip(names, key, strict=True)) | {"model": ALL, **_together(group)})
    together = pl.DataFrame(rows, schema=single.select(names).schema | _SCHEMA)
    found = pl.concat([together, single], how="diagonal_relaxed")
    return found.select("model", pl.exclude("model"))


def declared(measure: Measure) -> Measure:
    """The measure, for several models."""
    matrix = measure.matrix and Matrix(("model", *measure.matrix.rows), measure.matrix.columns)
    return replace(measure, columns=("model", *measure.columns, "seed_share"), matrix=matrix)


_SCHEMA: dict[str, Any] = {"model": str, "value": float, "low": float, "high": float, "seed_share": float}
_SCHEMA |= {"n": int, "note": str}


def _identity(measure: Measure, table: pl.DataFrame) -> list[str]:
    """Columns that identify a row."""
    said: Sequence[str] = measure.columns if measure.matrix is None else (*measure.matrix.rows, *measure.matrix.columns)
    return [name for name in said if name in table.columns and name not in ("value", "n", "note")]


def _together(group: pl.DataFrame) -> dict[str, Any]:
    numbers = {name: group[name].cast(float).to_numpy() for name in ("value", "low", "high", "n")}
    if any(np.isnan(column).any() for column in numbers.values()):
        return {"n": len(group), "note": "not measurable: a model has no interval"}
    found = over_intervals(numbers["value"], numbers["low"], numbers["high"], int(numbers["n"].min()))
    low, high = found.interval()
    return {"value": found.value, "low": low, "high": high, "seed_share": found.seed_share, "n": len(group)}

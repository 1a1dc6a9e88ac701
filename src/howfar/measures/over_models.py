"""A measure of several models of one kind, such as seeds: each by itself, and all of them together.

An interval over documents says nothing about another seed. One over models has the variance of seeds and that of
documents in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.errors import NotMeasurableError
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.statistics import over_intervals

if TYPE_CHECKING:
    import polars as pl

ALL = "all models"


def over_models(tables: Mapping[str, pl.DataFrame], measure: Measure) -> pl.DataFrame:
    """Put tables of one measure together.

    Args:
        tables: By model; each on the same documents.
        measure: Whose tables they are.

    Returns:
        The rows of all tables with the model's name as `model`, and before them one row `all models` for each row that
        all tables have: the mean as `value` with an interval for other seeds and other documents over `n` models, and
        `seed_share`, which part of a single model's variance is at most its seed's. Documents are taken to move all
        models alike: where they do not, the interval is wider than it need be. A layer of one model need not do what
        the same layer of another does.

    Raises:
        NotMeasurableError: The measure's rows are no estimates.
    """
    import polars as pl

    if measure.rows:
        raise NotMeasurableError(f"rows of {measure.name} are no estimates, so models have no mean; give one model")
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
    """The measure as that of several models."""
    matrix = measure.matrix and Matrix(("model", *measure.matrix.rows), measure.matrix.columns)
    return replace(measure, columns=("model", *measure.columns, "seed_share"), matrix=matrix)


_SCHEMA: dict[str, Any] = {"model": str, "value": float, "low": float, "high": float, "seed_share": float}
_SCHEMA |= {"n": int, "note": str}


def _identity(measure: Measure, table: pl.DataFrame) -> list[str]:
    """Columns that say what a row is about."""
    said: Sequence[str] = measure.columns if measure.matrix is None else (*measure.matrix.rows, *measure.matrix.columns)
    return [name for name in said if name in table.columns and name not in ("value", "n", "note")]


def _together(group: pl.DataFrame) -> dict[str, Any]:
    numbers = {name: group[name].cast(float).to_numpy() for name in ("value", "low", "high", "n")}
    if any(np.isnan(column).any() for column in numbers.values()):
        return {"n": len(group), "note": "not measurable: a model has no interval"}
    found = over_intervals(numbers["value"], numbers["low"], numbers["high"], int(numbers["n"].min()))
    low, high = found.interval()
    return {"value": found.value, "low": low, "high": high, "seed_share": found.seed_share, "n": len(group)}

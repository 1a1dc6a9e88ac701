"""A measure of several models of one kind, for example seeds: each by itself, and all of them together.

An interval over documents says nothing about other seeds. One over models includes the variance of seeds and of
documents.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from howfar.errors import NotMeasurableError
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.statistics import over_intervals

ALL = "all models"


def over_models(tables: Mapping[str, pl.DataFrame], measure: Measure) -> pl.DataFrame:
    """Combine tables of one measure, one per model, each on the same documents.

    Returns:
        The rows of all tables with the model's name as `model` (a column of that name is renamed `of_model`), preceded
        by one row `all models` for each row that all tables have: the mean as `value`, with an interval over seeds and
        documents for `n` models, and `seed_share`, an upper bound of the share of a single model's variance due to its
        seed. Documents are taken to affect all models alike; if they do not, the interval is too wide. The interval of
        exact values is over seeds alone. An interval ends at the limits of a bounded quantity. Where the models'
        intervals are not over documents there is no number, and `note` says so. A layer of one model need not do what
        the same layer of another does.

    Raises:
        NotMeasurableError: The measure's rows are not estimates, or it does not say what identifies them.
    """
    if measure.rows:
        raise NotMeasurableError(f"rows of {measure.name} are not estimates, so models have no mean; give one model")
    if not measure.identifies:
        raise NotMeasurableError(
            f"{measure.name} does not say what identifies a row, so the rows of several models cannot be matched; "
            "give one model, or declare the measure's `identity`"
        )
    own = {name: table.rename({"model": "of_model"}, strict=False) for name, table in tables.items()}
    single = pl.concat([table.with_columns(model=pl.lit(name)) for name, table in own.items()])
    names = [name for name in measure.identifies if name in single.columns]
    rows = []
    for key, group in single.group_by(names, maintain_order=True):
        if group["model"].n_unique() == len(tables):
            identity = dict(zip(names, key, strict=True))
            rows.append(identity | {"model": ALL, "n": len(tables), **_together(group, tables, identity, measure)})
    together = pl.DataFrame(rows, schema=single.select(names).schema | _SCHEMA)
    found = pl.concat([together, single], how="diagonal_relaxed")
    return found.select("model", pl.exclude("model"))


def declared(measure: Measure) -> Measure:
    """The measure, for several models."""
    matrix = measure.matrix and Matrix(("model", *measure.matrix.rows), measure.matrix.columns)
    return replace(measure, columns=("model", *measure.columns, "seed_share"), matrix=matrix)


_SCHEMA: dict[str, Any] = {"model": str, "value": float, "low": float, "high": float, "seed_share": float}
_SCHEMA |= {"n": int, "note": str}


def _together(
    group: pl.DataFrame, models: Collection[str], identity: Mapping[str, Any], measure: Measure
) -> dict[str, Any]:
    if len(group) > len(models):
        return {"note": "not measurable: a model has several such rows"}
    if identity.get("quantity") in measure.not_over_cases:
        return {"note": f"not measurable: a model's interval is not over {measure.counts}"}
    value, low, high, num = (group[name].cast(float).to_numpy() for name in ("value", "low", "high", "n"))
    if np.isnan([low, high, num]).all():  # exact values, which differ only between seeds
        low, high, num = value, value, np.ones(len(value))
    if np.isnan([value, low, high, num]).any():
        return {"note": "not measurable: a model has no interval"}
    found = over_intervals(value, low, high, int(num.min()))
    limits = measure.limits.get(identity.get("quantity", ""), (-np.inf, np.inf))
    ends = np.clip(found.interval(), *limits).tolist()
    return {"value": found.value, "low": ends[0], "high": ends[1], "seed_share": found.seed_share}

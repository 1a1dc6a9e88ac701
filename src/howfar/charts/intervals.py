"""Estimates with their intervals: what the charts of most measures are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

ROW_HEIGHT = 22


def intervals(
    x: str, low: str, high: str, *, title: str, tooltip: Sequence[Any], format: str = "~g", **encodings: Any
) -> Any:
    """A point for each row's estimate on a line from the low to the high end of its interval.

    Args:
        x: Column of the estimate.
        low: Column of the interval's low end.
        high: Column of its high end.
        title: Of the axis; says the unit.
        tooltip: What to say of a row.
        format: Of the numbers on the axis.
        **encodings: `y`, `color` and so on, as Altair takes them.
    """
    import altair as alt

    axis = alt.Axis(format=format)
    base = alt.Chart().encode(tooltip=list(tooltip), **encodings)
    ends = {"x": alt.X(f"{low}:Q", title=title, axis=axis), "x2": f"{high}:Q"}
    return alt.layer(
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(**ends),
        base.mark_point(filled=True, size=55, opacity=1).encode(x=alt.X(f"{x}:Q", title=title, axis=axis)),
    )


def zero_line() -> alt.Chart:
    """A line where there is no difference."""
    import altair as alt

    return alt.Chart(alt.InlineData(values=[{}])).mark_rule(strokeDash=[3, 3], opacity=0.7).encode(x=alt.datum(0))


def numbers(*columns: str, format: str = ".4g") -> list[Any]:
    """Numbers of a row, for its tooltip."""
    import altair as alt

    return [alt.Tooltip(f"{column}:Q", title=column.replace("_", " "), format=format) for column in columns]


def names(*columns: str) -> list[Any]:
    """Names of a row, for its tooltip."""
    import altair as alt

    return [alt.Tooltip(f"{column}:N", title=column.replace("_", " ")) for column in columns]


def layer_names(table: Any, when_null: str) -> Any:
    """A column `layer_name`: "layer 0" and so on, or another name where a row is of no layer."""
    import polars as pl

    return table.with_columns(
        layer_name=pl.when(pl.col("layer").is_null()).then(pl.lit(when_null)).otherwise(pl.format("layer {}", "layer"))
    )

"""A chart of `howfar.measures.interventions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.charts.inline import inline
from howfar.charts.intervals import (
    ROW_HEIGHT,
    intervals,
    layer_names,
    layers_in_order,
    legend_above,
    names,
    numbers,
    zero_line,
)
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme

if TYPE_CHECKING:
    import polars as pl


def draw_interventions(table: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw what each intervention costs in each layer, beside its control; a panel for each intervention.

    Args:
        table: From `interventions`.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    measured = layer_names(table.filter(pl.col("value").is_not_null()), "all layers")
    if "dose" in measured.columns:
        measured = measured.filter(pl.col("dose") == pl.col("dose").max())
    sides = {"intervention": ("value", "low", "high"), "matched control": ("control", "control_low", "control_high")}
    long = pl.concat(
        measured.select(
            *("kind", "layer_name", "moved", "n"),
            pl.lit(name).alias("side"),
            *(pl.col(own).alias(column) for own, column in zip(columns, ("change", "low", "high"), strict=True)),
        )
        for name, columns in sides.items()
    )
    kinds = measured["kind"].unique(maintain_order=True).to_list()

    rows = intervals(
        *("change", "low", "high"),
        title="change of loss, nats per byte",
        tooltip=[*names("kind", "layer_name", "side"), *numbers("change", "low", "high", "moved")],
        y=alt.Y("layer_name:N", title=None, sort=layers_in_order(measured)),
        yOffset=alt.YOffset("side:N", sort=list(sides)),
        color=alt.Color("side:N", title=None, sort=list(sides), legend=legend_above()),
    ).properties(width=430, height={"step": ROW_HEIGHT})
    chart = (
        alt.layer(zero_line(), rows, data=inline(long))
        .facet(facet=alt.Facet("kind:N", title=None, sort=kinds), columns=2)
        .resolve_scale(x="independent")
        .properties(title=alt.Title("Change of the loss when increments are replaced", subtitle=_subtitle(table)))
    )
    return Picture(chart, theme=theme, description="Change of loss by intervention and layer, with 95% intervals")


def _subtitle(table: pl.DataFrame) -> list[str]:
    return [
        "Increments of a layer are replaced, or tokens are displaced as far at random places. Scales differ.",
        f"95% intervals over {table['n'][0]} held-out documents.",
    ]

"""A chart of `howfar.measures.sensitivity`."""

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


def draw_sensitivity(table: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw what a gap of each class costs when it is closed or widened in a layer, beside the model's own samples.

    Args:
        table: From `sensitivity`.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    cells = layer_names(table.filter(quantity="change of the loss"), "all layers")
    sides = {"the text": ("value", "low", "high"), "the model's own samples": ("null", "null_low", "null_high")}
    long = pl.concat(
        cells.select(
            pl.format("{} before {}", "change", pl.col("class").str.replace_all("_", " ")).alias("gap"),
            *("layer_name", "n"),
            pl.lit(name).alias("side"),
            *(pl.col(own).alias(column) for own, column in zip(columns, ("cost", "low", "high"), strict=True)),
        )
        for name, columns in sides.items()
    )
    rows = intervals(
        *("cost", "low", "high"),
        title="change of loss, nats per token",
        tooltip=[*names("gap", "layer_name", "side"), *numbers("cost", "low", "high", "n")],
        y=alt.Y("layer_name:N", title=None, sort=layers_in_order(cells)),
        yOffset=alt.YOffset("side:N", sort=list(sides)),
        color=alt.Color("side:N", title=None, sort=list(sides), legend=legend_above()),
    ).properties(width=300, height={"step": ROW_HEIGHT})
    chart = (
        alt.layer(zero_line(), rows, data=inline(long))
        .facet(facet=alt.Facet("gap:N", title=None, sort=long["gap"].unique(maintain_order=True).to_list()), columns=2)
        .resolve_scale(x="independent")
        .properties(title=alt.Title("What follows, when one gap is closed or widened", subtitle=_subtitle(table)))
    )
    return Picture(chart, theme=theme, description="Change of loss by class, layer and change, with 95% intervals")


def _subtitle(table: pl.DataFrame) -> list[str]:
    told = [
        f"{row['change']} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for row in table.filter(quantity="split-half reliability").drop_nulls("value").iter_rows(named=True)
    ]
    return [
        "Means of the next tokens' losses, 95% intervals over documents. Scales differ.",
        f"Split-half reliability: {', '.join(told) or 'none, as the cells do not differ'}.",
    ]

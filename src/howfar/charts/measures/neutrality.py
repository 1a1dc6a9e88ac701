"""A chart of `howfar.measures.neutrality`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.inline import inline
from howfar.charts.intervals import PANEL_SPACING, ROW_HEIGHT, intervals, names, numbers, zero_line
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme


def draw_neutrality(table: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw the difference of loss of each pair and over pairs, with the margin below which it is considered negligible.

    Args:
        table: From `neutrality`.
        theme: `"light"` or `"dark"`.
    """
    margin = float(table["margin"][0])
    several = pl.lit(table["pair"].n_unique() - table["pair"].has_nulls() > 1)
    of_pair = pl.when(pl.col("pair").is_null()).then(pl.lit("over pairs")).otherwise(pl.format("pair {}", "pair"))
    measured = table.filter(pl.col("low").is_not_null()).with_columns(
        which=pl.when(several).then(pl.format("{}, {}", "against", of_pair)).otherwise("against")
    )
    sources = measured["source"].unique(maintain_order=True).to_list()

    band = (
        alt.Chart(alt.InlineData(values=[{}]))
        .mark_rect(opacity=0.12)
        .encode(x=alt.datum(-margin), x2=alt.datum(margin), color=alt.value("gray"))
    )
    rows = intervals(
        *("value", "low", "high"),
        title="difference of loss, nats per byte",
        tooltip=[
            *names("against", "which", "source", "statement", "pairing"),
            *numbers("model", "baseline", "value", "low", "high", "p_equivalence"),
        ],
        y=alt.Y("which:N", title=None, sort=measured["which"].to_list(), axis=alt.Axis(labelLimit=220)),
    ).properties(width=270, height={"step": ROW_HEIGHT})
    chart = (
        alt.layer(band, zero_line(), rows, data=inline(measured))
        .facet(facet=alt.Facet("source:N", title=None, sort=sources), columns=3)
        .properties(
            spacing=PANEL_SPACING,
            title=alt.Title(
                "Loss compared with models with plain positions",
                subtitle=[
                    "Below 0, learned positions are better. Lines: 95% intervals.",
                    f"Grey: differences within {margin:g}, which are considered negligible.",
                ],
            ),
        )
    )
    return Picture(chart, theme=theme, description="Differences of loss with 95% intervals and the equivalence margin")

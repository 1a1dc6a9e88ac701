"""A chart of `howfar.measures.neutrality`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import PANEL_SPACING, dashed_line, intervals, panels, tooltip
from howfar.charts.picture import Picture


def draw_neutrality(table: pl.DataFrame) -> Picture:
    """Draw the difference of loss of each pair and over pairs, with the margin of negligible differences."""
    margin = float(table["margin"][0])
    several = pl.lit(table["pair"].n_unique() - table["pair"].has_nulls() > 1)
    of_pair = pl.when(pl.col("pair").is_null()).then(pl.lit("over pairs")).otherwise(pl.format("pair {}", "pair"))
    measured = table.filter(pl.col("low").is_not_null()).with_columns(
        which=pl.when(several).then(pl.format("{}, {}", "against", of_pair)).otherwise("against")
    )

    band = (
        alt.Chart(alt.InlineData(values=[{}]))
        .mark_rect(opacity=0.12)
        .encode(x=alt.datum(-margin), x2=alt.datum(margin), color=alt.value("gray"))
    )
    rows = intervals(
        *("value", "low", "high"),
        title="difference of loss, nats per byte",
        tooltip=tooltip("against which source statement pairing", "model baseline value low high p_equivalence"),
        y=alt.Y("which:N", title=None, sort=measured["which"].to_list(), axis=alt.Axis(labelLimit=220)),
    )
    chart = panels([band, dashed_line(x=0), rows], measured, "source", columns=3, width=270)
    return Picture(
        chart.properties(spacing=PANEL_SPACING),
        title="Loss compared with models with plain positions",
        subtitle=[
            "Below 0, learned positions are better. Lines: 95% intervals.",
            f"Grey: differences within {margin:g}, which are considered negligible.",
        ],
        description="Differences of loss with 95% intervals and the equivalence margin",
    )

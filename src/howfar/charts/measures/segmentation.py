"""A chart of `howfar.measures.segmentation`."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from howfar.charts.intervals import PANEL_SPACING, dashed_line, inline, intervals, tooltip
from howfar.charts.picture import Picture

INCREMENTS, OTHERS = "increments", "anything else"


def draw_segmentation(table: pl.DataFrame) -> Picture:
    """Draw every contestant's F1, for boundaries and for words, and its share of cuts at surprising tokens."""
    measured = table.filter(pl.col("value").is_not_null()).with_columns(
        name=pl.col("score") + pl.format(", {}", "scored_at").fill_null(""),
        side=pl.when(pl.col("score") == "increment").then(pl.lit(INCREMENTS)).otherwise(pl.lit(OTHERS)),
    )
    quantities = [name for name in measured["quantity"].unique(maintain_order=True) if name.endswith(("F1", "ment"))]
    order = measured["name"].unique(maintain_order=True).to_list()
    panels = [_panel(measured.filter(quantity=quantity), quantity, order) for quantity in quantities]
    num_gaps, num_boundaries, num = (max(measured[name].to_list()) for name in ("num_gaps", "num_boundaries", "n"))
    return Picture(
        alt.vconcat(*panels, spacing=PANEL_SPACING),
        title="How well increments and other scores segment text",
        subtitle=[
            "Thresholds, layers and directions are chosen on other texts. Dashed: a cut at every gap.",
            f"{num_gaps:,} gaps, {num_boundaries:,} of them boundaries; 95% intervals over {num:,} texts.",
            "Enrichment: the share of gaps cut before surprising tokens, over the share of all gaps.",
        ],
        description="F1 of cuts by increments and by other scores, with 95% intervals",
    )


def _panel(rows: pl.DataFrame, quantity: str, order: list[str]) -> Any:
    every = rows.filter(score="every gap")["value"].item()
    points = intervals(
        *("value", "low", "high"),
        title=quantity,
        tooltip=tooltip("name chosen", "value low high gain gain_low gain_high rate num_gaps n"),
        y=alt.Y("name:N", title=None, sort=order, axis=alt.Axis(labelLimit=320, minExtent=260)),
        color=alt.Color("side:N", title=None, scale=alt.Scale(domain=[INCREMENTS, OTHERS])),
    )
    layers = alt.layer(dashed_line(x=every), points, data=inline(rows))
    return layers.properties(width=420, title=alt.Title(quantity, fontSize=13))

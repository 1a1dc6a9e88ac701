"""A chart of `howfar.measures.pairs`."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from howfar.charts.intervals import (
    PANEL_SPACING,
    dashed_line,
    layer_names,
    layers_in_order,
    legend_above,
    panels,
    sparse_axis,
    tooltip,
)
from howfar.charts.picture import Picture

LEVEL = 0.05
EVIDENCE = [f"p < {LEVEL} (Holm)", "not significant"]


def draw_pairs(table: pl.DataFrame) -> Picture:
    """Draw each layer's effect size against each control; filled where it exceeds chance."""
    tested = layer_names(table.filter(pl.col("effect_size").is_not_null(), pl.col("type") == "all"), "shared")
    tested = tested.with_columns(
        panel=pl.format("{} ({})", "control", "site"),
        evidence=pl.when(pl.col("p_holm") < LEVEL).then(pl.lit(EVIDENCE[0])).otherwise(pl.lit(EVIDENCE[1])),
    )
    named: dict[str, Any] = {"title": None, "legend": legend_above()}

    points = (
        alt.Chart()
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X(
                "effect_size:Q",
                title="effect size (rank-biserial)",
                axis=sparse_axis(),
                scale=alt.Scale(domain=_reach(tested)),
            ),
            y=alt.Y("layer_name:N", title=None, sort=layers_in_order(tested)),
            yOffset="head:O",
            shape=alt.Shape("evidence:N", scale=alt.Scale(domain=EVIDENCE, range=["circle", "cross"]), **named),
            color=alt.Color("evidence:N", scale=alt.Scale(domain=EVIDENCE), **named),
            tooltip=tooltip(
                "panel layer_name head",
                "entity_mean control_mean value low high share_smaller effect_size p_holm n largest_imbalance",
            ),
        )
    )
    chart = panels([dashed_line(x=0), points], tested, "panel", columns=3, width=260)
    return Picture(
        chart.properties(spacing=PANEL_SPACING),
        title="Increments inside entities, against each control",
        subtitle=["Left of 0: the parts of entities are closer together."],
        description="Effect size of entities against controls by layer",
    )


def _reach(tested: pl.DataFrame) -> list[float]:
    """A symmetric range, so that 0 is in the middle."""
    largest = max((abs(size) for size in tested["effect_size"].to_list()), default=1.0)
    end = min(1.0, max(0.1, 1.2 * largest))
    return [-end, end]

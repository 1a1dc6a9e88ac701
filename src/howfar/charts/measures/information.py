"""A chart of `howfar.measures.information`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import (
    PANEL_SPACING,
    dashed_line,
    inline,
    intervals,
    layer_names,
    layers_in_order,
    legend_above,
    tooltip,
)
from howfar.charts.picture import Picture


def draw_information(table: pl.DataFrame) -> Picture:
    """Draw how much information each layer's increments carry about each label, a panel for each label."""
    measured = layer_names(table.filter(pl.col("value").is_not_null()), "all layers", with_heads=True)
    places = measured["scored_at"].unique(maintain_order=True).to_list()
    panels = [
        alt.layer(
            dashed_line(x=0),
            intervals(
                *("value", "low", "high"),
                title="bits per token",
                tooltip=tooltip("label scored_at layer_name", "value low high p_together known_bits num_tokens n"),
                y=alt.Y("layer_name:N", title=None, sort=layers_in_order(rows)),
                yOffset=alt.YOffset("scored_at:N", scale=alt.Scale(domain=places)),
                color=alt.Color("scored_at:N", title=None, scale=alt.Scale(domain=places), legend=legend_above()),
            ),
            data=inline(rows),
        ).properties(width=340, height={"step": 13, "for": "offset"}, title=alt.Title(str(label), fontSize=13))
        for (label,), rows in measured.group_by("label", maintain_order=True)
    ]
    return Picture(
        alt.concat(*panels, columns=2, spacing=PANEL_SPACING),
        title="What increments tell beyond the tokens themselves",
        subtitle=["Given the token, the one before it and the entropy. 95% intervals over documents. Dashed: nothing."],
        description="Information in increments about labels, in bits per token",
    )

"""A chart of `howfar.measures.information`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.inline import inline
from howfar.charts.intervals import (
    PANEL_SPACING,
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


def draw_information(table: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw how much information each layer's increments carry about each label, a panel for each label.

    Args:
        table: From `information`.
        theme: `"light"` or `"dark"`.
    """
    measured = layer_names(table.filter(pl.col("value").is_not_null()), "all layers").with_columns(
        name=pl.col("layer_name")
        + pl.when(pl.col("head").max() > 0).then(pl.format(", head {}", "head")).otherwise(pl.lit(""))
    )
    places = measured["scored_at"].unique(maintain_order=True).to_list()
    panels = [
        alt.layer(
            zero_line(),
            intervals(
                *("value", "low", "high"),
                title="bits per token",
                tooltip=[
                    *names("label", "scored_at", "name"),
                    *numbers("value", "low", "high", "p_together", "known_bits", "num_tokens", "n"),
                ],
                y=alt.Y("name:N", title=None, sort=[*layers_in_order(rows), *rows["name"].to_list()]),
                yOffset=alt.YOffset("scored_at:N", scale=alt.Scale(domain=places)),
                color=alt.Color("scored_at:N", title=None, scale=alt.Scale(domain=places), legend=legend_above()),
            ),
            data=inline(rows),
        ).properties(width=340, height={"step": 13, "for": "offset"}, title=alt.Title(str(label), fontSize=13))
        for (label,), rows in measured.group_by("label", maintain_order=True)
    ]
    chart = alt.concat(*panels, columns=2, spacing=PANEL_SPACING).properties(
        title=alt.Title(
            "What increments tell beyond the tokens themselves",
            subtitle=[
                "Given the token, the one before it and the entropy. 95% intervals over documents. Dashed: nothing."
            ],
        )
    )
    return Picture(chart, theme=theme, description="Information in increments about labels, in bits per token")

"""A chart of `howfar.measures.extrapolation`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import band_and_line, dashed_line, legend_above, panels, sparse_axis, tooltip
from howfar.charts.picture import Picture


def draw_extrapolation(table: pl.DataFrame) -> Picture:
    """Draw the loss by position, a line for each context and a panel for each source."""
    measured = table.filter(pl.col("value").is_not_null()).with_columns(
        middle=(pl.col("start") + pl.col("stop")) / 2,
        context_name=pl.col("context").map_elements(lambda context: f"{context:,} tokens", pl.String),
    )
    training_length = (measured["context"] // measured["times"]).min()
    contexts = measured.sort("context")["context_name"].unique(maintain_order=True).to_list()

    base = alt.Chart().encode(
        x=alt.X("middle:Q", title="position in the window, tokens", axis=sparse_axis(format=",.6~g")),
        color=alt.Color("context_name:N", title="context", sort=contexts, legend=legend_above()),
        tooltip=tooltip(
            "source context_name",
            "start stop value low high change change_low change_high positions "
            "matched_tokens matched_change random_change beyond_random",
        ),
    )
    lines = band_and_line(base, "loss, nats per byte", alt.Scale(zero=False))
    return Picture(
        panels([dashed_line(x=training_length), *lines], measured, "source", columns=2, width=340, height=260),
        title="Loss by position, in texts longer than in training",
        subtitle=["95% intervals over windows. Dashed: the length of the training windows."],
        description="Loss by position for several context lengths",
    )

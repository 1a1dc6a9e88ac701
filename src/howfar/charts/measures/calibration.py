"""A chart of `howfar.measures.calibration`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import dashed_line, intervals, legend_above, panels, tooltip
from howfar.charts.picture import Picture

LEFT_OUT = ("entropy + surprisal", "entropy + surprisal + increment")
"""Scores fitted to documents: only in the table, for lack of room in the chart."""

ROW_HEIGHT, SEED_HEIGHT = 18, 7
PLANTED, AT_RANDOM = "boundaries that can be found", "random boundaries"


def draw_calibration(table: pl.DataFrame) -> Picture:
    """Draw how well each score marks the known boundaries, a panel for each kind of text."""
    at_random = (pl.col("text") == "predictable") & ~pl.col("planted")
    scores = table.filter(pl.col("quantity") == "auc", ~pl.col("score").is_in(LEFT_OUT)).with_columns(
        panel=pl.when(at_random).then(pl.lit("predictable, random boundaries")).otherwise("text"),
        score_name=pl.concat_str(
            pl.col("score").str.replace(" of the residual stream", ""),
            pl.format(", layer {}", "layer").fill_null(""),
            pl.format(", {}", "scored_at").fill_null(""),
        ),
        what=pl.when("planted").then(pl.lit(PLANTED)).otherwise(pl.lit(AT_RANDOM)),
        shown_low=pl.coalesce("low_together", "low"),
        shown_high=pl.coalesce("high_together", "high"),
    )
    order = scores["score_name"].unique(maintain_order=True).to_list()
    row = max(ROW_HEIGHT, SEED_HEIGHT * (1 + scores["seed"].n_unique()))
    points = intervals(
        *("value", "shown_low", "shown_high"),
        title="ROC-AUC",
        tooltip=tooltip("score_name text seed verdict", "value low high low_together high_together num_gaps n"),
        y=alt.Y("score_name:N", title=None, sort=order, axis=alt.Axis(labelLimit=320)),
        yOffset=alt.YOffset("seed:O"),
        color=alt.Color("what:N", title=None, sort=[PLANTED, AT_RANDOM], legend=legend_above()),
    )
    return Picture(
        panels([dashed_line(x=0.5), points], scores, "panel", columns=2, width=230, height=row * len(order)),
        title="How well known boundaries are found in synthetic text",
        subtitle=[
            "Tiny models were trained on each kind of text. Dashed: chance.",
            "95% intervals over documents; those of increments hold for all layers at once.",
        ],
        description="ROC-AUC of each score for known boundaries, by kind of text",
    )

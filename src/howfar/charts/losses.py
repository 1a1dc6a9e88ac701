"""Losses of a study's models, seed by seed."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import inline, names, numbers, sparse_axis
from howfar.charts.picture import Picture

NUM_COLOURS = 6  # of the theme, which would serve for several seeds each


def draw_losses(table: pl.DataFrame) -> Picture:
    """Draw a point for each model, and a line through models that read the same windows in the same order.

    Args:
        table: One row per model, with `variant`, `seed`, `data_order` and `nats_per_byte`.
    """
    loss = alt.X(
        "nats_per_byte:Q", title="held-out loss, nats per byte", axis=sparse_axis(), scale=alt.Scale(zero=False)
    )
    order = table["variant"].unique(maintain_order=True).to_list()
    variants = alt.Y("variant:N", title=None, sort=order, axis=alt.Axis(labelLimit=400))
    seed = alt.Color("seed:N", title="seed")
    if table["seed"].n_unique() > NUM_COLOURS:
        seed = seed.scale(scheme="turbo")
    base = alt.Chart(inline(table)).encode(x=loss, y=variants, color=seed, detail="data_order:N")
    told = [*names("variant", "seed", "data_order", "run"), *numbers("nats_per_byte", format=".5f")]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(tooltip=told)
    return Picture(
        alt.layer(base.mark_line(opacity=0.4), points).properties(width=520, height={"step": 34}),
        title="Loss of each model",
        subtitle=["Lines join models of one seed, which read the same windows."],
        description="Held-out loss of each model by variant and seed",
    )

"""How an increment ranks among those that other tokens would have in its place."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from howfar.charts.intervals import inline
from howfar.charts.picture import Picture
from howfar.charts.theme import COLOURS, PAGE_WIDTH, Theme


def increments_of_alternatives(candidates: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw every candidate's increment as a tick, one row per layer; the actual token stands out.

    Args:
        candidates: Columns `layer`, `label`, `increment` (mean over heads), `is_here`.
        theme: `"light"` or `"dark"`.
    """
    other, of_here, *_ = COLOURS[theme]["category"]
    base = alt.Chart(inline(candidates)).encode(
        x=alt.X("increment:Q", title="increment, positions", scale=alt.Scale(zero=False)),
        y=alt.Y("layer:O", title="layer"),
        tooltip=["label:N", "layer:O", alt.Tooltip("increment:Q", format=".5f")],
    )
    others = base.mark_tick(color=other, opacity=0.45, thickness=1.5, size=18).transform_filter("!datum.is_here")
    here = base.mark_point(color=of_here, filled=True, shape="diamond", size=130, opacity=1).transform_filter(
        "datum.is_here"
    )
    name = base.mark_text(color=of_here, dy=-13, fontSize=13, fontWeight="bold").encode(text="label:N")
    named = name.transform_filter("datum.is_here")
    chart: Any = alt.layer(others, here, named).properties(width=PAGE_WIDTH, height=alt.Step(38))
    description = "The increment that each token of the vocabulary would have in this place, by layer."
    return Picture(chart, theme=theme, description=description)

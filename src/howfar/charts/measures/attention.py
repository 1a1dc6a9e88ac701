"""A chart of `howfar.measures.attention`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import dashed_line, inline, sparse_axis, tooltip
from howfar.charts.picture import Picture

MOST_COLOURS = 6
"""Number of layers that have distinct colours; with more, a ramp runs from early to late ones."""


def draw_attention(table: pl.DataFrame) -> Picture:
    """Draw each head's mean attention distance against its mean increment, in tokens and in learned positions."""
    is_plain = table.filter(quantity="increment").is_empty()
    increments = table.filter(quantity="increment").select("layer", "head", increment="value")
    distances = (
        table.filter(quantity="distance")
        .join(increments, on=["layer", "head"], how="left")
        .with_columns(layer_name=pl.format("layer {}", "layer"))
    )
    even = table.filter(quantity="distance of even attention", unit="tokens")["value"].mean()

    if distances["layer"].n_unique() <= MOST_COLOURS:
        colour = alt.Color("layer_name:N", title=None)
    else:
        colour = alt.Color("layer:Q", title="layer", scale=alt.Scale(range="ramp"), legend=alt.Legend(format="d"))
    panels = []
    across = ("layer:O", "layer") if is_plain else ("increment:Q", "mean increment, positions")
    for unit, name in (("tokens", "tokens"), ("positions", "learned positions"))[: 1 if is_plain else 2]:
        base = alt.Chart(inline(distances.filter(unit=unit))).encode(
            x=alt.X(
                across[0],
                title=across[1],
                axis=sparse_axis() if not is_plain else alt.Axis(labelAngle=0),
                scale=alt.Undefined if is_plain else alt.Scale(zero=False),
            ),
            color=colour,
            tooltip=tooltip("layer_name head", "increment value low high"),
        )
        title = f"mean attention distance, {name}"
        marks = [
            base.mark_rule(strokeWidth=2, opacity=0.6).encode(y=alt.Y("low:Q", title=title), y2="high:Q"),
            base.mark_point(filled=True, size=60, opacity=1).encode(y=alt.Y("value:Q", title=title)),
        ]
        if unit == "tokens":
            marks.append(dashed_line(y=even))
        panels.append(alt.layer(*marks).properties(width=340, height=300))
    return Picture(
        alt.hconcat(*panels),
        title="How far each head looks" + ("" if is_plain else ", against its mean increment"),
        subtitle=[
            "One point for each head, with 95% intervals over documents.",
            "Dashed: a head that attends equally to all earlier tokens.",
        ],
        description="Mean attention distance of each head against its mean increment",
    )

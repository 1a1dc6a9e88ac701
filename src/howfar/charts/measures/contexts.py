"""A chart and a page of `howfar.measures.contexts`."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from howfar.charts.glyphs import in_line, visible
from howfar.charts.intervals import ROW_HEIGHT, inline, layer_names, tooltip
from howfar.charts.passages import page_of_passages
from howfar.charts.picture import Picture

BANDS = ((0.005, 0.995), (0.05, 0.95), (0.25, 0.75))


class PassagesPicture(Picture):
    """A chart that saves itself as a web page of passages, or in other formats as the chart.

    Args:
        table: From `contexts`.
        chart: The chart, for all other formats.
        **options: As for `Picture`.
    """

    def __init__(self, table: pl.DataFrame, chart: Any, **options: Any) -> None:
        super().__init__(chart, **options)
        self.table = table

    def _html(self) -> str:
        return page_of_passages(self.table)


def draw_contexts(table: pl.DataFrame) -> PassagesPicture:
    """Draw the distribution of each layer's increments, and its extreme passages."""
    table = layer_names(table, "all layers", with_heads=True)
    order = table["layer_name"].unique(maintain_order=True).to_list()
    passages = table.filter(pl.col("rank").is_not_null()).with_columns(
        passage=pl.struct("left", "scored", "right").map_elements(_passage, pl.String)
    )
    y = alt.Y("layer_name:N", title=None, sort=order)
    of_all = table.filter(pl.col("rank").is_null(), pl.col("class") == "all")
    layers = [_band(of_all, low, high, width).encode(y=y) for (low, high), width in zip(BANDS, (3, 7, 13), strict=True)]
    median = alt.Chart(inline(of_all.filter(share=0.5).select("layer_name", "increment")))
    layers.append(median.mark_tick(thickness=2, size=15).encode(x=alt.X("increment:Q"), y=y))
    shown = passages.select(
        "layer_name", "kind", "rank", "increment", "class", "class_mean", "deviation", "passage", "surprisal_nats"
    )
    kinds = passages["kind"].unique(maintain_order=True).to_list()
    points = alt.Chart(inline(shown)).mark_point(size=34, opacity=0.75)
    layers.append(
        points.encode(
            x=alt.X("increment:Q"),
            y=y,
            color=alt.Color("kind:N", title=None, sort=kinds),
            shape=alt.Shape("kind:N", sort=kinds, legend=None),
            tooltip=tooltip("passage kind class", "increment class_mean deviation surprisal_nats"),
        )
    )
    return PassagesPicture(
        table,
        alt.layer(*layers).properties(width=720, height=2 * ROW_HEIGHT * len(order)),
        title="Distribution of the increments, and the passages where they are extreme",
        subtitle=["Bands: 50%, 90% and 99% of all tokens. Line: the median. Points: the passages found."],
        description="Distribution of each layer's increments, and those of the most extreme passages",
    )


def _band(of_all: pl.DataFrame, low: float, high: float, width: int) -> alt.Chart:
    """A bar from one share of the tokens to another."""
    ends = of_all.filter(share=low).select("layer_name", low="increment")
    ends = ends.join(of_all.filter(share=high).select("layer_name", high="increment"), on="layer_name")
    chart = alt.Chart(inline(ends)).mark_rule(strokeWidth=width, opacity=0.3)
    return chart.encode(x=alt.X("low:Q", title="increment, positions", scale=alt.Scale(zero=False)), x2="high:Q")


def _passage(parts: dict[str, str]) -> str:
    left, right = parts["left"][-30:], parts["right"][:20]
    return f"{in_line(left)}⟦{visible(parts['scored'])}⟧{in_line(right)}"

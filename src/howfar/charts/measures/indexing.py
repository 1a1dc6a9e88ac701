"""A chart of `howfar.measures.indexing`."""

from __future__ import annotations

from itertools import starmap

import altair as alt
import polars as pl

from howfar.charts.intervals import band_and_line, dashed_line, inline, numbers, sparse_axis
from howfar.charts.picture import Picture


def draw_indexing(table: pl.DataFrame) -> Picture:
    """Draw the share of right answers by offset, for questions of one hop; the shares by number of hops in words."""
    measured = table.filter(pl.col("low").is_not_null())
    by_offset, by_hops = measured.filter(pl.col("offset").is_not_null()), measured.filter(pl.col("offset").is_null())
    # A line through 0 would join the two sides.
    by_offset = by_offset.with_columns(
        side=pl.when(pl.col("offset") < 0).then(pl.lit("left")).otherwise(pl.lit("right"))
    )

    title = "places from the source to the answer, negative to the left"
    base = alt.Chart().encode(
        x=alt.X("offset:Q", title=title, axis=sparse_axis(format="d", tickCount=10)),
        detail="side:N",
        tooltip=numbers("offset", "value", "low", "high", "chance", "num_questions", "n"),
    )
    marks = band_and_line(base, "share of right answers", alt.Scale(domain=[0, 1]))
    if len(by_hops):
        marks.insert(0, dashed_line(y=float(by_hops["chance"][0])))
    return Picture(
        alt.layer(*marks, data=inline(by_offset)).properties(width=520, height=260),
        title="Indirect indexing: which character is so many places from another?",
        subtitle=[
            " ".join(starmap(_in_words, by_hops.select("hops", "value", "low", "high").rows())),
            "Line: questions of one hop, with 95% intervals. Dashed: any character of the string.",
        ],
        description="Share of right answers by offset, with 95% intervals",
    )


def _in_words(hops: int, value: float, low: float, high: float) -> str:
    return f"{hops} hop{'s' if hops > 1 else ''}: {value:.1%} right [{low:.1%}, {high:.1%}]."

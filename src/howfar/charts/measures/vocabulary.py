"""A chart of `howfar.measures.vocabulary`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.glyphs import visible
from howfar.charts.intervals import class_words, dashed_line, inline, labelled, one_of_heads, sparse_axis, tooltip
from howfar.charts.picture import Picture

ROW = 17

SIGNED_PERCENT = "datum.value === 0 ? '0%' : format(datum.value, '+.0%')"


def draw_vocabulary(table: pl.DataFrame, *, num: int = 20, head: int = 0) -> Picture:
    """Draw the tokens that are farthest from the mean increment, up and down.

    Args:
        table: From `vocabulary`; tokens that training never used are left out.
        num: Number of tokens in each direction.
        head: The head, if increments are per head.
    """
    seen = table.filter(pl.col("head") == head, pl.col("count").is_null() | (pl.col("count") > 0))
    ranked = seen.sort("drift", descending=True, maintain_order=True)
    up, down = ranked.filter(pl.col("drift") > 0).head(num), ranked.filter(pl.col("drift") < 0).tail(num)
    drawn = pl.concat([up, down]).with_row_index("rank")
    shown = [visible(token) for token in drawn["token"].to_list()]
    drawn = drawn.with_columns(class_words(drawn), token=pl.Series(shown, dtype=pl.String))
    names_of_rows = dict(drawn.select("rank", "class").rows())
    axis = alt.Axis(labelExpr=labelled(names_of_rows), labelLimit=300, ticks=False, domain=False, labelOverlap=False)
    base = alt.Chart().encode(
        y=alt.Y("rank:O", title=None, axis=axis), tooltip=tooltip("token class", "token_id count increment drift")
    )
    bars = base.mark_bar(height=ROW - 6).encode(
        x=alt.X("drift:Q", title="difference from the mean increment", axis=sparse_axis(labelExpr=SIGNED_PERCENT))
    )
    # Tokens and class names are separate marks: a rare character must not change the font of a word.
    right, left = alt.Align("right"), alt.Align("left")
    sides = ((right, -6, alt.datum.drift > 0), (left, 6, alt.datum.drift < 0))
    tokens = [
        base.mark_text(style="token", align=align, dx=dx)
        .transform_filter(on_this_side)
        .encode(x=alt.datum(0), text="token:N")
        for align, dx, on_this_side in sides
    ]
    known = "" if not seen["count"].null_count() else " It is not known which of them the model was trained on."
    chart = alt.layer(bars, *tokens, dashed_line(x=0), data=inline(drawn))
    return Picture(
        chart.properties(width=420, height={"step": ROW}),
        title="Tokens with the largest and the smallest increments",
        subtitle=[
            f"The {len(up)} largest and {len(down)} smallest of {len(seen):,} tokens.{known}",
            *one_of_heads(table, head),
        ],
        description="Tokens with the largest and the smallest increments",
        drawn_text="".join(shown),
    )

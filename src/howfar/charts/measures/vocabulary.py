"""A chart of `howfar.measures.vocabulary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.charts.axes import labelled
from howfar.charts.glyphs import visible
from howfar.charts.inline import inline
from howfar.charts.intervals import names, numbers, zero_line
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme

if TYPE_CHECKING:
    import polars as pl

ROW = 17


def draw_vocabulary(table: pl.DataFrame, *, num: int = 20, head: int = 0, theme: Theme = "light") -> Picture:
    """Draw the tokens that are farthest from the mean increment, up and down.

    Args:
        table: From `vocabulary`; tokens that were never seen in training are left out.
        num: How many in each direction.
        head: The head, where heads have increments of their own.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    seen = table.filter(pl.col("head") == head, pl.col("count").is_null() | (pl.col("count") > 0))
    ranked = seen.sort("drift", descending=True, maintain_order=True)
    up, down = ranked.filter(pl.col("drift") > 0).head(num), ranked.filter(pl.col("drift") < 0).tail(num)
    drawn = pl.concat([up, down]).with_row_index("rank")
    tokens = [visible(token) for token in drawn["token"].to_list()]
    drawn = drawn.with_columns(pl.col("class").str.replace_all("_", " "), token=pl.Series(tokens, dtype=pl.String))
    names_of_rows = {rank: f"{name}  {token}" for rank, name, token in drawn.select("rank", "class", "token").rows()}
    axis = alt.Axis(labelExpr=labelled(names_of_rows), labelLimit=300, ticks=False, domain=False, labelOverlap=False)
    bars = (
        alt.Chart(inline(drawn))
        .mark_bar(height=ROW - 6)
        .encode(
            x=alt.X("drift:Q", title="increment over the mean, less 1", axis=alt.Axis(format="+.0%")),
            y=alt.Y("rank:O", title=None, axis=axis),
            tooltip=[*names("token", "class"), *numbers("token_id", "count", "increment", "drift")],
        )
        .properties(width=420, height={"step": ROW})
    )
    known = "" if not seen["count"].null_count() else " It is not known which of them the model was trained on."
    chart = alt.layer(bars, zero_line()).properties(
        title=alt.Title(
            "Which tokens are far from what stands before them?",
            subtitle=[f"The farthest and the nearest of {len(seen):,} tokens, against their mean.{known}"],
        )
    )
    return Picture(
        chart,
        theme=theme,
        description="Tokens with the largest and the smallest increments",
        drawn_text="".join(tokens),
    )

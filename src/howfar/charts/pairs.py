"""A chart of `howfar.measures.pairs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.charts.inline import inline
from howfar.charts.intervals import ROW_HEIGHT, layer_names, names, numbers, zero_line
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme

if TYPE_CHECKING:
    import polars as pl

LEVEL = 0.05


def draw_pairs(table: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw each layer's effect size against each control; filled where it is beyond chance.

    Args:
        table: From `pairs`.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    tested = layer_names(table.filter(pl.col("effect_size").is_not_null(), pl.col("type") == "all"), "shared")
    tested = tested.with_columns(
        panel=pl.format("{} ({})", "control", "site"),
        evidence=pl.when(pl.col("p_holm") < LEVEL).then(pl.lit("p < 0.05 (Holm)")).otherwise(pl.lit("not significant")),
    )
    panels = tested["panel"].unique(maintain_order=True).to_list()

    points = (
        alt.Chart()
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X("effect_size:Q", title="effect size (rank-biserial)", scale=alt.Scale(domain=[-1, 1])),
            y=alt.Y("layer_name:N", title=None),
            yOffset="head:O",
            shape=alt.Shape("evidence:N", title=None, scale=alt.Scale(range=["circle", "cross"]), sort="descending"),
            color=alt.Color("evidence:N", title=None, sort="descending"),
            tooltip=[
                *names("panel", "layer_name", "head"),
                *numbers("entity_mean", "control_mean", "difference", "difference_low", "difference_high"),
                *numbers("share_smaller", "effect_size", "p_holm", "num_pairs", "largest_imbalance"),
            ],
        )
        .properties(width=260, height={"step": ROW_HEIGHT})
    )
    chart = (
        alt.layer(zero_line(), points, data=inline(tested))
        .facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=3)
        .properties(
            title=alt.Title(
                "Are the parts of entities closer together?",
                subtitle=["Increment between the two parts, against each control; left of 0: entities are closer."],
            )
        )
    )
    return Picture(chart, theme=theme, description="Effect size of entities against controls by layer")

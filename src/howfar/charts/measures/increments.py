"""A chart of `howfar.measures.increments`."""

from __future__ import annotations

import altair as alt
import polars as pl

from howfar.charts.intervals import class_words, dashed_line, layer_names, legend_above, panels, sparse_axis, tooltip
from howfar.charts.picture import Picture
from howfar.text.classes import class_in_words

TITLE = "increment over the layer's mean"
AT_BOUND, FREE = "half or more at the bound", "within the bounds"


def draw_increments(table: pl.DataFrame) -> Picture:
    """Draw each class's mean increment, its interval, and the spread of single tokens; a panel for each layer."""
    classes = table.filter(pl.col("value").is_not_null(), pl.col("class") != "all")
    order = classes.filter(over="text")["class"].unique(maintain_order=True).to_list()
    classes = classes.filter(pl.col("class").is_in(order))
    scale = pl.col("relative") / pl.col("value")
    classes = layer_names(classes, "all layers").with_columns(
        class_name=class_words(classes),
        at=pl.when("saturated").then(pl.lit(AT_BOUND)).otherwise(pl.lit(FREE)),
        spread_low=pl.max_horizontal(pl.col("value") - pl.col("sd"), "lowest") * scale,
        spread_high=pl.min_horizontal(pl.col("value") + pl.col("sd"), "highest") * scale,
    )
    sort = [class_in_words(name) for name in order]
    in_text, by_itself = classes.filter(over="text"), classes.filter(over="vocabulary")
    num_layers = in_text["layer_name"].n_unique()

    shades = alt.Scale(domain=[FREE, AT_BOUND])
    colour = alt.Color("at:N", title=None, scale=shades, legend=legend_above() if classes["saturated"].any() else None)
    base = alt.Chart().encode(
        y=alt.Y("class_name:N", title=None, sort=sort),
        color=colour,
        tooltip=tooltip(
            "class layer_name head over",
            "value low high relative sd lowest highest share_at_zero share_at_maximum num_tokens n",
        ),
    )
    if in_text["head"].n_unique() > 1:
        base = base.encode(yOffset="head:O")
    axis = sparse_axis()
    of_mean = alt.X("relative:Q", title=TITLE, axis=axis, scale=alt.Scale(zero=False))
    ends = {name: alt.X(f"{name}_low:Q", title=TITLE, axis=axis) for name in ("relative", "spread")}
    of_text = alt.FieldOneOfPredicate("over", ["text"])
    text = base.transform_filter(of_text)
    # One mark for both kinds of point: a mark for the second kind would have no scale in a panel without it.
    points = base.mark_point(opacity=1).encode(
        x=of_mean,
        fill=alt.Fill("at:N", scale=shades, legend=None),
        fillOpacity=alt.condition(of_text, alt.value(1), alt.value(0)),
        shape=alt.Shape(
            "over:N", legend=None, scale=alt.Scale(domain=["text", "vocabulary"], range=["circle", "diamond"])
        ),
        size=alt.condition(of_text, alt.value(50), alt.value(80)),
    )
    marks = [
        dashed_line(x=1),
        text.mark_rule(strokeWidth=7, opacity=0.22).encode(x=ends["spread"], x2="spread_high:Q"),
        text.mark_rule(strokeWidth=2).encode(x=ends["relative"], x2="relative_high:Q"),
        points,
    ]
    subtitle = ["Point: mean over the text with its 95% interval. Band: ±1 standard deviation of single tokens."]
    if len(by_itself):
        subtitle.append("Diamond: mean over the tokens of the vocabulary, each once.")
    if num_layers > 1:
        subtitle.append("Each layer has its own scale; dashed: the mean of the layer.")
    chart = panels(marks, classes, "layer_name", columns=min(3, num_layers), width=250)
    return Picture(
        chart.resolve_scale(x="independent"),
        title="Mean increment of each class of tokens, over the mean of its layer",
        subtitle=subtitle,
        description="Mean increment of each class of tokens by layer, with 95% intervals",
    )

"""A chart of `howfar.measures.boundaries`."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from howfar.charts.intervals import ROW_HEIGHT, dashed_line, inline, layer_names, legend_above, sparse_axis, tooltip
from howfar.charts.picture import Picture
from howfar.measures.boundaries.targets import TARGETS

INCREMENT = "increment"
PROBES = ("linear probe of the residual stream", "MLP probe of the residual stream")
SMALL_ROW = 13


def draw_boundaries(table: pl.DataFrame) -> Picture:
    """Draw how well each layer's increments mark boundaries, how well other scores do, and what increments add."""
    measured = layer_names(table.filter(pl.col("value").is_not_null()), "all layers", with_heads=True).with_columns(
        what=pl.coalesce(pl.format("increment of the {}", "scored_at"), "score")
    )
    of_layers = pl.col("score").is_in([INCREMENT, *PROBES])
    aucs, within = measured.filter(quantity="auc"), measured.filter(of_layers, quantity="auc within")
    layered, alone = aucs.filter(of_layers), aucs.filter(~of_layers, pl.col("scored_at").is_null())
    gains = measured.filter(quantity="auc gain")

    scores = layered["what"].unique(maintain_order=True).to_list()
    chance, both = 0.5, pl.concat([layered, within, alone])
    panels = [
        _panel(layered, "AUC of each layer's increments", "AUC", chance, _reach(both, chance), scores),
        _panel(within, "AUC among gaps after the same character", "AUC", chance, _reach(both, chance), scores),
        _panel(alone, "AUC of other scores of the same gaps", "AUC", chance, _reach(both, chance)),
    ]
    if len(gains):
        added = "What they add to characters, entropy and surprisal"
        panels.append(_panel(gains, added, "difference of AUC", 0.0, _reach(gains, 0.0), scores))
    return Picture(
        alt.vconcat(*panels, spacing=24),
        title="How well increments and other scores mark boundaries",
        subtitle=_subtitle(table["target"][0], measured),
        description="AUC of increments and other scores, with 95% intervals",
    )


def _panel(
    rows: pl.DataFrame, name: str, title: str, null: float, reach: list[float], scores: list[str] | None = None
) -> Any:
    """Scores with their intervals; one row for each layer, or else for each score."""
    y = "score" if scores is None else "layer_name"
    order = rows[y].unique(maintain_order=True).to_list()
    base = alt.Chart().encode(
        y=alt.Y(f"{y}:N", title=None, sort=order, axis=alt.Axis(labelLimit=260, minExtent=170)),
        tooltip=tooltip(
            f"score scored_at {y}",
            "value low high low_together high_together p_together random_low random_high p_random "
            "p_random_together num_gaps num_boundaries n",
        ),
    )
    step: dict[str, Any] = {"step": ROW_HEIGHT}
    if scores is not None:
        colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=scores), legend=legend_above(columns=2))
        base = base.encode(color=colour, yOffset=alt.YOffset("what:N", scale=alt.Scale(domain=scores)))
        step = {"step": SMALL_ROW, "for": "offset"}
    x: dict[str, Any] = {"title": title, "axis": sparse_axis()}
    x["scale"] = alt.Scale(domain=reach, nice=True, zero=False)
    marks = [
        base.mark_bar(color="gray", opacity=0.25, height=SMALL_ROW - 3)
        .transform_filter("isValid(datum.random_low)")
        .encode(x=alt.X("random_low:Q", **x), x2="random_high:Q", color=alt.value("gray")),
        base.mark_rule(strokeWidth=1, opacity=0.8).encode(x=alt.X("low_together:Q", **x), x2="high_together:Q"),
        base.mark_rule(strokeWidth=3, opacity=0.6).encode(x=alt.X("low:Q", **x), x2="high:Q"),
        base.mark_point(filled=True, size=55, opacity=1).encode(x=alt.X("value:Q", **x)),
    ]
    return alt.layer(dashed_line(x=null), *marks, data=inline(rows)).properties(
        width=520, height=step, title=alt.Title(name, fontSize=13, offset=6)
    )


def _reach(rows: pl.DataFrame, null: float) -> list[float]:
    """From the lowest to the highest end of an interval, chance included."""
    ends = rows.select("low", "high", "low_together", "high_together", "random_low", "random_high")
    values = [null, *(value for column in ends for value in column.drop_nulls())]
    return [min(values), max(values)]


def _subtitle(target: str, measured: pl.DataFrame) -> list[str]:
    question = TARGETS[target].question
    question = question[0].upper() + question[1:]
    if measured.is_empty():
        return [question, "Not measurable."]
    first, has_random = measured.row(0, named=True), measured["random_low"].count() > 0
    return [
        question,
        f"{first['num_gaps']:,} gaps, {first['num_boundaries']:,} of them boundaries; 95% intervals over "
        f"{first['n']:,} documents, thin ones for all layers and places at once.",
        "Dashed: chance. Below it a score is lower at boundaries than elsewhere.",
        *(["Grey bars: increments of networks with random weights, 95% of them."] if has_random else []),
    ]

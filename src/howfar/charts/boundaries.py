"""A chart of `howfar.measures.boundaries`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from howfar.charts.inline import inline
from howfar.charts.intervals import ROW_HEIGHT, intervals, layer_names, names, numbers
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme

if TYPE_CHECKING:
    import polars as pl

INCREMENT, PROBE = "increment", "linear probe of the residual stream"
WHOLE_MODEL = "all layers"


def draw_boundaries(table: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw how well each layer's increments tell boundaries, what else tells them, and what increments add.

    Args:
        table: From `boundaries`.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    measured = layer_names(table.filter(pl.col("value").is_not_null()), WHOLE_MODEL).with_columns(
        row_name=pl.col("layer_name")
        + pl.when(pl.col("head").max() > 0).then(pl.format(", head {}", "head")).fill_null("")
    )
    layered = measured.filter(pl.col("score").is_in([INCREMENT, PROBE]), quantity="auc").with_columns(
        what=pl.coalesce(pl.format("increment of the {}", "scored_at"), "score")
    )
    alone = measured.filter(
        pl.col("layer").is_null(),
        ~pl.col("score").is_in([INCREMENT, PROBE]),
        pl.col("scored_at").is_null(),
        quantity="auc",
    )
    gains = measured.filter(quantity="auc gain").with_columns(what=pl.format("increment of the {}", "scored_at"))
    what = layered["what"].unique(maintain_order=True).to_list()
    panels = [
        _panel(layered, "AUC of each layer's increments", "AUC", 0.5, "row_name", what),
        _panel(alone, "AUC of other scores of the same gaps", "AUC", 0.5, "score", None),
        _panel(
            gains,
            "AUC that a layer's increments add to entropy and surprisal",
            "difference of AUC",
            0.0,
            "row_name",
            what,
        ),
    ]
    chart = alt.vconcat(*panels, spacing=24).properties(
        title=alt.Title(f"Do increments tell boundaries? {table['target'][0]}", subtitle=_subtitle(measured))
    )
    return Picture(chart, theme=theme, description="AUC of increments and other scores, with 95% intervals")


def _panel(rows: pl.DataFrame, name: str, title: str, null: float, y: str, series: list[str] | None) -> Any:
    import altair as alt

    order = rows[y].unique(maintain_order=True).to_list()
    encodings: dict[str, Any] = {
        "y": alt.Y(f"{y}:N", title=None, sort=order, axis=alt.Axis(labelLimit=260, minExtent=170))
    }
    if series is not None:
        encodings["color"] = alt.Color("what:N", title=None, sort=series, legend=alt.Legend(columns=2, labelLimit=300))
        encodings["yOffset"] = alt.YOffset("what:N", sort=series)
    points = intervals(
        *("value", "low", "high"),
        title=title,
        tooltip=[
            *names("score", "scored_at", y),
            *numbers("value", "low", "high", "low_any_layer", "high_any_layer", "p_any_layer"),
            *numbers("num_gaps", "num_boundaries", "num_documents"),
        ],
        **encodings,
    )
    chance = alt.Chart(alt.InlineData(values=[{}])).mark_rule(strokeDash=[3, 3]).encode(x=alt.datum(null))
    step = ROW_HEIGHT if series is None else 13
    return alt.layer(chance, points, data=inline(rows)).properties(
        width=520,
        height={"step": step, "for": "position" if series is None else "offset"},
        title=alt.Title(name, fontSize=13, offset=6),
    )


def _subtitle(measured: pl.DataFrame) -> list[str]:
    if measured.is_empty():
        return ["Not measurable."]
    first = measured.row(0, named=True)
    return [
        f"{first['num_gaps']:,} gaps, {first['num_boundaries']:,} of them boundaries; 95% intervals over "
        f"{first['num_documents']:,} documents.",
        "Dashed: chance. Below it a score is lower at boundaries than elsewhere.",
    ]

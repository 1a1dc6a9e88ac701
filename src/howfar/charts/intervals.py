"""Parts of charts: tables, axes, and estimates with their intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from howfar.text.classes import class_in_words

ROW_HEIGHT = 22
PANEL_SPACING = 36
"""Space between panels whose axis ends are labelled."""


def inline(table: pl.DataFrame) -> alt.InlineData:
    """A table as a chart's own data: one string, which Altair does not inspect value by value.

    It also keeps notebooks from moving the data to a file that a chart may no longer find when it is replaced.
    """
    return alt.InlineData(values=table.write_json(), format=alt.DataFormat(type="json"))


def labelled(labels: Mapping[int, str]) -> str:
    """A Vega expression from an axis value, a whole number, to its label, for example a character of a text."""
    return f"{json.dumps({str(key): label for key, label in labels.items()})}[datum.value]"


def intervals(x: str, low: str, high: str, *, title: str, **encodings: Any) -> Any:
    """A point for each row's estimate, from its column, on a line between the ends of its interval, from theirs.

    The title of the axis gives the unit; `encodings` are `y`, `color` and so on, as Altair takes them.
    """
    base = alt.Chart().encode(**encodings)
    options: dict[str, Any] = {"title": title, "axis": sparse_axis(), "scale": alt.Scale(padding=6)}
    return alt.layer(
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(x=alt.X(f"{low}:Q", **options), x2=f"{high}:Q"),
        base.mark_point(filled=True, size=55, opacity=1).encode(x=alt.X(f"{x}:Q", **options)),
    )


def beside_controls(
    cells: pl.DataFrame,
    sides: Mapping[str, tuple[str, str, str]],
    *,
    panel: str,
    estimate: str,
    shown: Sequence[str],
    axis: str,
    width: int,
) -> Any:
    """Panels with one row per layer, which shows an estimate beside that of its control.

    Args:
        cells: One row per panel and layer, with `layer_names`.
        sides: Columns of the estimate and its interval's ends, by the name of the side.
        panel: Column that names the panel.
        estimate: Name of the estimate in a tooltip.
        shown: More columns for the tooltip.
        axis: Title of the axis; gives the unit.
        width: Width of a panel, in pixels.
    """
    long = pl.concat(
        cells.select(
            *(panel, "layer_name", *shown),
            pl.lit(name).alias("side"),
            *(pl.col(own).alias(column) for own, column in zip(columns, (estimate, "low", "high"), strict=True)),
        )
        for name, columns in sides.items()
    )
    rows = intervals(
        *(estimate, "low", "high"),
        title=axis,
        tooltip=tooltip(f"{panel} layer_name side", " ".join([estimate, "low", "high", *shown])),
        y=alt.Y("layer_name:N", title=None, sort=layers_in_order(cells)),
        yOffset=alt.YOffset("side:N", sort=list(sides)),
        color=alt.Color("side:N", title=None, sort=list(sides), legend=legend_above()),
    )
    return panels([dashed_line(x=0), rows], long, panel, columns=2, width=width).resolve_scale(x="independent")


def one_of_heads(table: pl.DataFrame, head: int) -> list[str]:
    """Which head a chart of one head shows, as a subtitle; nothing if there is no other."""
    num_heads = table["head"].n_unique()
    return [f"Head {head} of {num_heads}, numbered from 0."] if num_heads > 1 else []


def sparse_axis(**options: Any) -> alt.Axis:
    """An axis of numbers with few ticks, for a small panel; each number is below its tick."""
    return alt.Axis(**{"tickCount": 5, "labelFlush": False, "format": ".6~g", **options})


def legend_above(**options: Any) -> alt.Legend:
    """A legend above panels with names, with some distance to the names."""
    return alt.Legend(offset=14, labelLimit=300, **options)


def dashed_line(**place: Any) -> alt.Chart:
    """A dashed line at a value of `x` or `y`, for example at zero difference."""
    line = alt.Chart(alt.InlineData(values=[{}])).mark_rule(strokeDash=[3, 3], opacity=0.7)
    return line.encode(**{axis: alt.datum(value) for axis, value in place.items()})


def panels(layers: Sequence[Any], table: pl.DataFrame, by: str, *, columns: int, width: int, height: Any = None) -> Any:
    """The same layers in a panel for each value of a column, in the order of the table; its sizes are in pixels."""
    panel = alt.layer(*layers, data=inline(table)).properties(width=width, height=height or {"step": ROW_HEIGHT})
    in_order = table[by].unique(maintain_order=True).to_list()
    return panel.facet(facet=alt.Facet(f"{by}:N", title=None, sort=in_order), columns=columns)


def band_and_line(base: alt.Chart, title: str, scale: alt.Scale) -> list[Any]:
    """A line through the `value` of each row, with its points, over a band from `low` to `high`."""
    return [
        base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=title), y2="high:Q"),
        base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(filled=True, size=36)).encode(
            y=alt.Y("value:Q", title=title, scale=scale)
        ),
    ]


def numbers(*columns: str, format: str = ".4g") -> list[Any]:
    """Numbers of a row, for its tooltip."""
    return [alt.Tooltip(f"{column}:Q", title=column.replace("_", " "), format=format) for column in columns]


def names(*columns: str) -> list[Any]:
    """Names of a row, for its tooltip."""
    return [alt.Tooltip(f"{column}:N", title=column.replace("_", " ")) for column in columns]


def tooltip(of_names: str, of_numbers: str) -> list[Any]:
    """A row's tooltip: columns of names and columns of numbers, each separated by spaces."""
    return [*names(*of_names.split()), *numbers(*of_numbers.split())]


def layers_in_order(table: Any) -> list[str]:
    """The names that `layer_names` gives, by layer number; rows of no layer come first."""
    return list(table.sort("layer", nulls_last=False, maintain_order=True)["layer_name"].unique(maintain_order=True))


def class_words(table: pl.DataFrame) -> pl.Expr:
    """The classes of a table's rows, by their names in words."""
    return pl.col("class").replace({name: class_in_words(name) for name in table["class"].drop_nulls().unique()})


def layer_names(table: Any, when_null: str, *, with_heads: bool = False) -> Any:
    """A column `layer_name`: "layer 0" and so on, or another name for a row of no layer; if asked, also the head."""
    name = pl.when(pl.col("layer").is_null()).then(pl.lit(when_null)).otherwise(pl.format("layer {}", "layer"))
    if with_heads and table["head"].max():
        name += pl.format(", head {}", "head").fill_null("")
    return table.with_columns(layer_name=name)

"""What a token attends to: arcs over the text at its learned positions, and weight against distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from howfar.charts.glyphs import counted
from howfar.charts.intervals import inline, labelled
from howfar.charts.picture import Picture
from howfar.charts.rows import Cells
from howfar.charts.theme import COLOURS, PAGE_WIDTH, Theme

if TYPE_CHECKING:
    from howfar.reading import Trace

LEAST_WEIGHT = 0.01  # weaker arcs are not drawn
MOST_CELLS = 80  # cells drawn, up to the selected one; of more the text would be illegible
ARC_POINTS = 25
ROW_HEIGHT = 64
TEXT_BELOW = 0.3  # a row's baseline, in rows
_DISTANCES = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500]


@dataclass(frozen=True, eq=False)
class Gaze:
    """One row of arcs: a head of a layer, or the mean over a layer's heads.

    Attributes:
        name: For example `head 3`.
        weights: `[key]`: the weight of each key, up to the token that attends.
        positions: float64 `[token]`: the row's positions of the text's tokens.
    """

    name: str
    weights: NDArray[np.float32]
    positions: NDArray[np.float64]


def gazes(trace: Trace, layers: Sequence[int], weights: NDArray[np.float32], layer: int | None) -> list[Gaze]:
    """The heads of a layer, or every layer averaged over its heads.

    Args:
        trace: The text.
        layers: The layers of the weights.
        weights: float32 `[layer, head, key]`.
        layer: The layer; None for all.
    """
    if layer is None:
        positions = trace.positions.mean(axis=1)
        means = zip(layers, weights.mean(axis=1), strict=True)
        return [Gaze(f"layer {number}", mean, positions[trace.layers.index(number)]) for number, mean in means]
    positions, of_layer = trace.positions[trace.layers.index(layer)], weights[list(layers).index(layer)]
    group = len(of_layer) // len(positions)  # query heads that share a key head share its positions
    return [Gaze(f"head {head}", of_head, positions[head // group]) for head, of_head in enumerate(of_layer)]


def attention_arcs(
    cells: Cells, rows: Sequence[Gaze], token: int, first_key: int, *, theme: Theme = "light"
) -> Picture:
    """Draw the attention of one token as arcs over the text, at learned positions.

    Only the last 80 cells are drawn; the title of the axis says what share of the attention goes farther back.

    Args:
        cells: The text.
        rows: The rows, from top to bottom.
        token: The token that attends.
        first_key: The text's token of the rows' first key; -1 for the document mark.
        theme: `"light"` or `"dark"`.
    """
    every = attention_by_cell(cells, rows, token, first_key)
    table = every.filter(pl.col("cell") > pl.col("cell").max() - MOST_CELLS)
    farther = (float(every["weight"].sum()) - float(table["weight"].sum())) / len(rows)
    rest = f"; {farther:.0%} of the attention goes farther back" if len(table) < len(every) else ""
    of = f"of the last {MOST_CELLS} {cells.noun}s" if rest else f"earlier {cells.noun}"
    alike = all(np.array_equal(row.positions, rows[0].positions) for row in rows)
    baselines = {len(rows) - 1 - number: row.name for number, row in enumerate(rows)}
    y = alt.Y(
        "y:Q",
        scale=alt.Scale(domain=[-0.6, len(rows) - 0.05], nice=False, zero=False),
        title=None,
        axis=alt.Axis(
            values=list(baselines), labelExpr=labelled(baselines), grid=False, domain=False, ticks=False, labelPadding=8
        ),
    )
    x = alt.X(
        "x:Q",
        title=f"learned distance from the selected {cells.noun}{rest}",
        scale=alt.Scale(nice=False, zero=False, padding=14),
    )
    lines = (
        alt.Chart(inline(_arcs(table, len(rows), highest=0.85 if alike else 0.6)))
        .mark_line(strokeCap="round")
        .encode(
            x=x,
            y=y,
            color=_colour(rows, legend=False),
            detail="arc:N",
            order="step:Q",
            strokeWidth=alt.StrokeWidth("weight:Q", scale=alt.Scale(domain=[0, 1], range=[0.6, 9]), legend=None),
            opacity=alt.Opacity(
                "weight:Q", scale=alt.Scale(domain=[0, 0.5], range=[0.35, 0.95], clamp=True), legend=None
            ),
            tooltip=_tooltip(),
        )
    )
    text = (
        alt.Chart(inline(_text_rows(table, len(rows), only_last=alike)))
        .mark_text(baseline="middle", color=COLOURS[theme]["ink"])
        .encode(
            x=x,
            y=y,
            text="label:N",
            opacity=alt.condition("datum.distance === 0", alt.value(1), alt.value(0.8)),
            size=alt.condition("datum.distance === 0", alt.value(19), alt.value(13)),
            tooltip=[alt.Tooltip("label:N", title="text"), alt.Tooltip("distance:Q", format=".2f")],
        )
    )
    chart: Any = alt.layer(lines, text).properties(
        width=PAGE_WIDTH, height=(ROW_HEIGHT if alike else 1.2 * ROW_HEIGHT) * len(rows) + 30
    )
    return Picture(
        chart,
        theme=theme,
        description=f"{_strongest(every)} An arc for each {of} that gets {LEAST_WEIGHT:.0%} or more{rest}.",
        drawn_text="".join(cells.labels),
    )


def attention_by_distance(
    cells: Cells, rows: Sequence[Gaze], token: int, first_key: int, *, theme: Theme = "light"
) -> Picture:
    """Plot attention weight against distance, in ordinary tokens and in learned positions; one point per row and cell.

    The arguments are those of `attention_arcs`.
    """
    table = attention_by_cell(cells, rows, token, first_key).filter(distance_is_measured())
    base = (
        alt.Chart(inline(table))
        .mark_circle(size=40, opacity=0.8)
        .encode(
            y=alt.Y(
                "weight:Q",
                title="attention weight",
                scale=alt.Scale(type="log", domain=[1e-4, 1], clamp=True),
                axis=alt.Axis(values=[1, 0.1, 0.01, 0.001, 0.0001], format="~p"),
            ),
            color=_colour(rows, legend=True),
            tooltip=_tooltip(),
        )
        .properties(width=410, height=240)
    )
    axis = alt.Axis(values=_DISTANCES, labelOverlap="greedy")
    scale = alt.Scale(type="symlog", nice=False, zero=True)
    ordinary = base.encode(x=alt.X("tokens:Q", title="ordinary distance, tokens", scale=scale, axis=axis))
    learned = base.encode(
        x=alt.X("learned:Q", title="learned distance, positions", scale=scale, axis=axis)
    ).transform_calculate(learned="-datum.distance")
    chart: Any = alt.hconcat(ordinary, learned)
    return Picture(
        chart,
        theme=theme,
        description="Attention weight against distance, in ordinary tokens and in learned positions.",
    )


def distance_is_measured() -> pl.Expr:
    """Leave out the token itself and the document mark, whose distances are meaningless."""
    return (pl.col("tokens") > 0) & (pl.col("cell") >= 0)


def attention_by_cell(cells: Cells, rows: Sequence[Gaze], token: int, first_key: int) -> pl.DataFrame:
    """Attention from a token to each cell before it, summed over the cell's tokens.

    Columns: `row` (its number), `name`, `cell` (-1: the document mark), `label`, `weight`, `tokens` (ordinary distance
    to the cell's last token), `distance` (learned position of that token minus the selected one's, in positions).
    """
    keys = np.arange(first_key, first_key + len(rows[0].weights))
    cell_of_key = np.where(keys < 0, -1, np.searchsorted(cells.end_tokens, keys, side="right"))
    found, starts = np.unique(cell_of_key, return_index=True)
    last = np.minimum(np.where(found < 0, -1, cells.end_tokens[found] - 1), token)
    labels = ["⟨start⟩" if cell < 0 else cells.labels[cell] for cell in found.tolist()]
    return pl.concat(
        pl.DataFrame(
            {
                "row": np.full(len(found), number),
                "name": [row.name] * len(found),
                "cell": found,
                "label": labels,
                "weight": np.add.reduceat(row.weights, starts),
                "tokens": token - last,
                "distance": np.where(last < 0, 0.0, row.positions[last]) - row.positions[token],
            }
        )
        for number, row in enumerate(rows)
    )


def _colour(rows: Sequence[Gaze], *, legend: bool) -> alt.Color:
    return alt.Color(
        "name:N",
        title=None,
        scale=alt.Scale(domain=[row.name for row in rows]),  # fixes the order of the theme's colours
        legend=alt.Legend(symbolOpacity=1, columns=8) if legend else None,
    )


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("label:N", title="looks at"),
        alt.Tooltip("name:N", title="of"),
        alt.Tooltip("weight:Q", format=".2%"),
        alt.Tooltip("distance:Q", title="learned distance", format=".2f"),
        alt.Tooltip("tokens:Q", title="ordinary distance"),
    ]


def _strongest(table: pl.DataFrame) -> str:
    """The cell that each row attends to most, in words."""
    best = table.sort("weight", descending=True).group_by("row", maintain_order=True).first().sort("row")
    return " ".join(
        f"{name} attends most to {label} ({weight:.0%}), {counted(tokens, 'token') + ' back' if tokens else 'itself'}."
        for name, label, weight, tokens in best.select("name", "label", "weight", "tokens").rows()
    )


def _arcs(table: pl.DataFrame, num_rows: int, highest: float) -> pl.DataFrame:
    """Half ellipses from the selected token back to each cell, as points."""
    drawn = table.filter((pl.col("weight") >= LEAST_WEIGHT) & (pl.col("tokens") > 0))
    angles = np.linspace(0, np.pi, ARC_POINTS)
    steps = pl.DataFrame({"step": np.arange(ARC_POINTS), "along": (1 - np.cos(angles)) / 2, "up": np.sin(angles)})
    widest = pl.col("distance").abs().max()
    return (
        drawn.with_row_index("arc")
        .with_columns(rise=highest * (0.3 + 0.7 * (pl.col("distance").abs() / widest).sqrt()))
        .join(steps, how="cross")
        .select(
            *("arc", "step", "name", "label", "weight", "distance", "tokens"),
            x=pl.col("distance") * (1 - pl.col("along")),
            y=num_rows - 1 - pl.col("row") + pl.col("rise") * pl.col("up"),
        )
    )


def _text_rows(table: pl.DataFrame, num_rows: int, *, only_last: bool) -> pl.DataFrame:
    """The text below the arcs: below each row's, or once at the bottom if all rows place it the same."""
    drawn = table.filter(pl.col("cell") >= 0, pl.col("row") >= (num_rows - 1 if only_last else 0))
    return drawn.select("label", "distance", x="distance", y=num_rows - 1 - pl.col("row") - TEXT_BELOW)

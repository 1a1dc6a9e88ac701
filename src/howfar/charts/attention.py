"""What a token looks back at: arcs over the text at its learned positions, and weight against distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.charts.inline import inline
from howfar.charts.picture import Picture
from howfar.charts.rows import Cells
from howfar.charts.theme import Theme

if TYPE_CHECKING:
    import polars as pl

LEAST_WEIGHT = 0.01  # thinner arcs are not drawn
MOST_CELLS = 100  # of text are drawn behind the token
ARC_POINTS = 25
ROW_HEIGHT = 64
HEAD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D00", "#000000")
"""Safe for colour-blind readers: Okabe and Ito's palette, its yellow darkened."""


def attention_arcs(
    cells: Cells,
    layer: int,
    token: int,
    weights: NDArray[np.float32],
    first_key: int,
    *,
    width: int = 940,
    theme: Theme = "light",
) -> Picture:
    """Draw each head's attention from one token as arcs over the text, which stands at its learned positions.

    Args:
        cells: The text.
        layer: The layer that attends.
        token: The token that looks back.
        weights: float32 `[head, key]`: the share of each key, up to the token itself.
        first_key: The text's token that the keys begin with; -1 for the document mark.
        width: In pixels.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt

    table = attention_by_cell(cells, layer, token, weights, first_key)
    arcs = _arcs(table)
    num_heads = len(weights)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[-0.55, num_heads - 0.05], zero=False), axis=None)
    x = alt.X("x:Q", title=f"learned distance from the selected token, layer {layer}", scale=alt.Scale(nice=False))
    colour = alt.Color("head:N", title="head", scale=alt.Scale(range=list(HEAD_COLOURS)), legend=None)
    tooltip: list[Any] = [
        alt.Tooltip("label:N", title="looks at"),
        alt.Tooltip("head:N"),
        alt.Tooltip("weight:Q", format=".2%"),
        alt.Tooltip("distance:Q", title="learned distance", format=".2f"),
        alt.Tooltip("tokens:Q", title="ordinary distance"),
    ]
    names = alt.Data(values=[{"head": head, "y": num_heads - 1 - head + 0.12} for head in range(num_heads)])
    lines = (
        alt.Chart(inline(arcs))
        .mark_line(strokeCap="round")
        .encode(
            x=x,
            y=y,
            color=colour,
            detail="arc:N",
            order="step:Q",
            strokeWidth=alt.StrokeWidth("weight:Q", scale=alt.Scale(domain=[0, 1], range=[0.6, 9]), legend=None),
            opacity=alt.Opacity(
                "weight:Q", scale=alt.Scale(domain=[0, 0.5], range=[0.35, 0.95], clamp=True), legend=None
            ),
            tooltip=tooltip,
        )
    )
    headings = (
        alt.Chart(names)
        .mark_text(align="left", fontSize=11, opacity=0.8)
        .encode(y=y, x=alt.value(2), text=alt.Text("label:N"), color=colour)
        .transform_calculate(label="'head ' + datum.head")
    )
    text = (
        alt.Chart(inline(_text_rows(table, per_head=cells.trace.increments.shape[1] > 1)))
        .mark_text(baseline="middle")
        .encode(
            x=x,
            y=y,
            text="label:N",
            opacity=alt.condition("datum.distance === 0", alt.value(1), alt.value(0.75)),
            size=alt.condition("datum.distance === 0", alt.value(18), alt.value(13)),
            tooltip=[alt.Tooltip("label:N", title="text"), alt.Tooltip("distance:Q", format=".2f")],
        )
    )
    chart: Any = alt.layer(lines, text, headings).properties(width=width, height=ROW_HEIGHT * num_heads + 30)
    description = f"Attention of layer {layer} from one token, an arc for each earlier character that a head reads."
    return Picture(chart, theme=theme, description=description, drawn_text="".join(cells.labels))


def attention_by_distance(
    cells: Cells,
    layer: int,
    token: int,
    weights: NDArray[np.float32],
    first_key: int,
    *,
    width: int = 410,
    theme: Theme = "light",
) -> Picture:
    """Plot attention weight against distance, in ordinary tokens and in learned positions; a point a head and token.

    Args:
        cells: As for `attention_arcs`.
        layer: As for `attention_arcs`.
        token: As for `attention_arcs`.
        weights: As for `attention_arcs`.
        first_key: As for `attention_arcs`.
        width: Of each half, in pixels.
        theme: As for `attention_arcs`.
    """
    import altair as alt

    table = attention_by_cell(cells, layer, token, weights, first_key).filter(distance_is_measured())
    base = (
        alt.Chart(inline(table))
        .mark_circle(size=36, opacity=0.75)
        .encode(
            y=alt.Y("weight:Q", title="attention weight", scale=alt.Scale(type="log", domain=[1e-4, 1], clamp=True)),
            color=alt.Color("head:N", title="head", scale=alt.Scale(range=list(HEAD_COLOURS))),
            tooltip=["label:N", "head:N", alt.Tooltip("weight:Q", format=".2%"), "tokens:Q", "distance:Q"],
        )
        .properties(width=width, height=240)
    )
    ordinary = base.encode(x=alt.X("tokens:Q", title="ordinary distance, tokens", scale=alt.Scale(type="symlog")))
    learned = base.encode(
        x=alt.X("learned:Q", title=f"learned distance, layer {layer}", scale=alt.Scale(type="symlog"))
    ).transform_calculate(learned="-datum.distance")
    description = f"Attention weight of layer {layer} against distance, in ordinary tokens and in learned positions."
    chart: Any = alt.hconcat(ordinary, learned)
    return Picture(chart, theme=theme, description=description)


def distance_is_measured() -> pl.Expr:
    """Leave out the token itself and the document mark, whose distances mean nothing."""
    import polars as pl

    return (pl.col("tokens") > 0) & (pl.col("cell") >= 0)


def attention_by_cell(
    cells: Cells, layer: int, token: int, weights: NDArray[np.float32], first_key: int
) -> pl.DataFrame:
    """Attention from a token to each cell before it, summed over the cell's tokens.

    Columns: `head`, `cell` (-1: the document mark), `label`, `weight`, `tokens` (ordinary distance to the cell's last
    token), `distance` (learned position of that token minus the selected one's, in positions).
    """
    import polars as pl

    trace = cells.trace
    keys = np.arange(first_key, first_key + weights.shape[1])
    cell_of_key = np.where(keys < 0, -1, np.searchsorted(cells.end_tokens, keys, side="right"))
    found, starts = np.unique(cell_of_key, return_index=True)
    by_cell = np.add.reduceat(weights, starts, axis=-1)
    last = np.minimum(np.where(found < 0, -1, cells.end_tokens[found] - 1), token)
    positions = trace.positions[trace.layers.index(layer)]
    group = len(weights) // len(positions)  # query heads that share a key head share its positions
    frames = []
    for head, of_head in enumerate(by_cell):
        at = positions[head // group]
        places = np.where(last < 0, 0.0, at[last])
        frames.append(
            pl.DataFrame(
                {
                    "head": np.full(len(found), head),
                    "cell": found,
                    "label": ["⟨start⟩" if cell < 0 else cells.labels[cell] for cell in found.tolist()],
                    "weight": of_head,
                    "tokens": token - last,
                    "distance": places - at[token],
                }
            )
        )
    return pl.concat(frames)


def _drawn(table: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return table.filter(pl.col("cell") > pl.col("cell").max() - MOST_CELLS)


def _arcs(table: pl.DataFrame) -> pl.DataFrame:
    """Half ellipses from the selected token back to each cell, as points."""
    import polars as pl

    drawn = _drawn(table).filter((pl.col("weight") >= LEAST_WEIGHT) & (pl.col("tokens") > 0))
    num_heads = int(table["head"].max() or 0) + 1  # type: ignore[arg-type]
    angles = np.linspace(0, np.pi, ARC_POINTS)
    steps = pl.DataFrame({"step": np.arange(ARC_POINTS), "along": (1 - np.cos(angles)) / 2, "up": np.sin(angles)})
    widest = pl.col("distance").abs().max()
    return (
        drawn.with_row_index("arc")
        .with_columns(rise=0.25 + 0.6 * (pl.col("distance").abs() / widest).sqrt())
        .join(steps, how="cross")
        .select(
            *("arc", "step", "head", "label", "weight", "distance", "tokens"),
            x=pl.col("distance") * (1 - pl.col("along")),
            y=num_heads - 1 - pl.col("head") + pl.col("rise") * pl.col("up"),
        )
    )


def _text_rows(table: pl.DataFrame, *, per_head: bool) -> pl.DataFrame:
    """The text below the arcs; below each head's where heads have positions of their own."""
    import polars as pl

    num_heads = int(table["head"].max() or 0) + 1  # type: ignore[arg-type]
    drawn = _drawn(table).filter(pl.col("cell") >= 0)
    if not per_head:
        drawn = drawn.filter(pl.col("head") == 0).with_columns(head=pl.lit(num_heads - 1))
    return drawn.select("label", "distance", x="distance", y=num_heads - 1 - pl.col("head") - 0.3)

"""A chart of `howfar.measures.gap_effects`."""

from __future__ import annotations

import re
from typing import Any

import altair as alt
import polars as pl

from howfar.charts.glyphs import visible
from howfar.charts.intervals import inline, labelled, legend_above, one_of_heads, tooltip
from howfar.charts.picture import Picture

CELL = 14  # pixels,
SMALL_CELL = 11  # or where there are several layers
MOST_TOKENS = 120


def draw_gap_effects(table: pl.DataFrame, *, layer: int | None = None, head: int = 0) -> Picture:
    """Draw which gaps matter for predicting which token: a square for each gap and later token.

    Args:
        table: From `gap_effects(...).table()`; of a long text only the first tokens are drawn.
        layer: The decoder layer; None for all, one below the other.
        head: The head, if increments are per head.
    """
    num_tokens = int(table["predicted"].max() or 0) + 1  # type: ignore[arg-type]
    is_cut = num_tokens > MOST_TOKENS
    drawn = table.filter(pl.col("head") == head, pl.col("predicted") < MOST_TOKENS)
    if layer is not None:
        drawn = drawn.filter(pl.col("layer") == layer)
    drawn = drawn.with_columns(pl.col("predicted_piece", "gap_piece").map_elements(_shown, return_dtype=pl.String))
    layers = drawn["layer"].unique().sort().to_list()
    pieces = _pieces(drawn)
    largest = float(drawn["nats_per_position"].abs().max() or 0) or 1.0  # type: ignore[arg-type]

    cell = CELL if len(layers) == 1 else SMALL_CELL
    side = cell * len(pieces)
    everyone = alt.Scale(domain=list(range(len(pieces))))
    axis: dict[str, Any] = {"labelExpr": labelled(dict(enumerate(pieces))), "labelOverlap": False}
    axis |= {"labelFontSize": cell - 2, "ticks": False, "domain": False}
    upright = 0 if max(map(len, pieces), default=0) <= 1 else -90
    marks = [-largest, -largest / 4, 0, largest / 4, largest]
    colour = alt.Color(
        "nats_per_position:Q",
        title="change of loss, nats per position (colours by square root)",
        scale=alt.Scale(type="pow", exponent=0.5, interpolate="rgb", range="heatmap", domain=marks),
        legend=legend_above(format=".2~g", values=marks, gradientLength=320),
    )
    panels = [
        alt.Chart()
        .mark_rect()
        .transform_filter(alt.FieldEqualPredicate(equal=one, field="layer"))
        .encode(
            x=alt.X("gap:O", title="wider gap before", axis=alt.Axis(labelAngle=upright, **axis), scale=everyone),
            y=alt.Y("predicted:O", title="predicted", axis=alt.Axis(**axis), scale=everyone),
            color=colour,
            tooltip=tooltip("predicted_piece gap_piece", "predicted gap nats_per_position"),
        )
        .properties(width=side, height=side, title=alt.Title(f"layer {one}", fontSize=12, offset=4))
        for one in layers
    ]
    return Picture(
        alt.concat(*panels, columns=2, data=inline(drawn)),
        title="How each token's loss depends on the gaps before it",
        subtitle=[
            "Change of the loss of each token (row) as the gap before an earlier one (column) widens.",
            *one_of_heads(table, head),
            *([f"The first {MOST_TOKENS} of the {num_tokens:,} tokens that were measured."] * is_cut),
        ],
        description="Derivative of each token's loss by each earlier increment",
        drawn_text="".join(pieces),
    )


def _pieces(table: pl.DataFrame) -> list[str]:
    """The tokens as text, in order: the first is only a gap, the last is only predicted."""
    found = dict(table.select("gap", "gap_piece").iter_rows()) | dict(
        table.select("predicted", "predicted_piece").iter_rows()
    )
    return [found[token] for token in sorted(found)]


def _shown(piece: str) -> str:
    """The drawn form of a token; a single byte by its two digits."""
    byte = re.fullmatch("<([0-9A-F]{2})>", piece)
    return byte[1] if byte else visible(piece)

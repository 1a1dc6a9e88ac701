"""A chart of `howfar.measures.gap_effects`."""

from __future__ import annotations

import json

from howfar.charts.inline import inline
from howfar.charts.intervals import names, numbers
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme
from howfar.measures.gap_effects import GapEffects

CELL = 15
MOST_TOKENS = 120


def draw_gap_effects(found: GapEffects, layer: int, head: int = 0, *, theme: Theme = "light") -> Picture:
    """Draw which gaps of a layer matter for predicting which token: a square for each gap and later token.

    Args:
        found: From `gap_effects`; of a long text the first tokens are drawn.
        layer: The decoder layer.
        head: The head, where heads have increments of their own.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    pieces = [_visible(piece) for piece in found.pieces[:MOST_TOKENS]]
    table = found.table().filter(pl.col("layer") == layer, pl.col("head") == head, pl.col("predicted") < MOST_TOKENS)
    largest = float(table["nats_per_position"].abs().max() or 0) or 1.0  # type: ignore[arg-type]

    labels = f"{json.dumps(pieces, ensure_ascii=False)}[datum.value]"
    everyone = alt.Scale(domain=list(range(len(pieces))))
    axis = alt.Axis(labelExpr=labels, labelAngle=0, labelOverlap=False, ticks=False)
    chart = (
        alt.Chart(inline(table))
        .mark_rect()
        .encode(
            x=alt.X("gap:O", title="wider gap before", axis=axis, scale=everyone),
            y=alt.Y("predicted:O", title="predicted", axis=axis, scale=everyone),
            color=alt.Color(
                "nats_per_position:Q",
                title="change of loss, nats per position",
                scale=alt.Scale(range="diverging", domain=[-largest, 0, largest]),
            ),
            tooltip=[*names("predicted_piece", "gap_piece"), *numbers("predicted", "gap", "nats_per_position")],
        )
        .properties(
            width=CELL * len(pieces),
            height=CELL * len(pieces),
            title=alt.Title(
                f"Which gaps matter for which token, layer {layer}",
                subtitle=["How the loss of each token (row) changes as the gap before an earlier one (column) widens."],
            ),
        )
    )
    return Picture(
        chart,
        theme=theme,
        description="Derivative of each token's loss by each earlier increment",
        drawn_text="".join(pieces),
    )


def _visible(piece: str) -> str:
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(piece, piece)

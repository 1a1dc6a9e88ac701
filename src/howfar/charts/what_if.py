"""What an edit of the increments changes: predictions, losses, and the gaps downstream."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from howfar.charts.intervals import inline, labelled
from howfar.charts.picture import Picture
from howfar.charts.theme import COLOURS, PAGE_WIDTH, Theme

MOST_TOKENS = 120  # tokens of the text on an axis


def prediction_changes(predictions: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw the prediction of the next token, before and after the edit if there is one.

    Args:
        predictions: Columns `token_id`, `label`, `before`, `after` (probabilities), the likeliest first; without
            `after` if there is no edit.
        theme: `"light"` or `"dark"`.
    """
    _, orange, grey, *_ = COLOURS[theme]["category"]
    sides = [side for side in ("before", "after") if side in predictions.columns]
    long = predictions.unpivot(sides, index=["token_id", "label"], variable_name="when", value_name="probability")
    labels = dict(predictions.select("token_id", "label").rows())
    chart: Any = (
        alt.Chart(inline(long))
        .mark_bar()
        .encode(
            y=alt.Y(
                "token_id:N",
                title=None,
                sort=predictions["token_id"].to_list(),
                axis=alt.Axis(labelFontSize=13, labelExpr=labelled(labels), ticks=False, labelPadding=6),
            ),
            yOffset=alt.YOffset("when:N", sort=sides),
            x=alt.X("probability:Q", axis=alt.Axis(format="%", tickCount=5), title="probability"),
            color=alt.Color(
                "when:N",
                title=None,
                scale=alt.Scale(domain=["before", "after"], range=[grey, orange]),
                legend=alt.Legend() if len(sides) > 1 else None,
            ),
            tooltip=["label:N", *(["when:N"] if len(sides) > 1 else []), alt.Tooltip("probability:Q", format=".4%")],
        )
        .properties(width=300, height=alt.Step(12))
    )
    said = ", ".join(
        f"{label} "
        + " and ".join(
            f"{one:.1%}{f' {side}' if len(sides) > 1 else ''}" for side, one in zip(sides, chances, strict=True)
        )
        for label, *chances in predictions.select("label", *sides).rows()
    )
    return Picture(
        chart,
        theme=theme,
        description=f"Probability of the likeliest next tokens: {said}.",
        drawn_text="".join(labels.values()),
    )


def loss_changes(losses: pl.DataFrame, *, theme: Theme = "light") -> Picture:
    """Draw the change of loss on each token that follows an edited gap.

    Args:
        losses: Columns `token`, `label`, `before`, `after`, `change`, in nats, and `tick`, the label below the token.
        theme: `"light"` or `"dark"`.
    """
    blue, orange, *_ = COLOURS[theme]["category"]
    drawn = losses.drop("bytes", strict=False).head(MOST_TOKENS)
    ticks = dict(drawn.select("token", "tick").rows())
    chart: Any = (
        alt.Chart(inline(drawn.drop("tick")))
        .mark_bar()
        .encode(
            x=_text_axis("token", ticks),
            y=alt.Y("change:Q", title="change of loss, nats", axis=alt.Axis(tickCount=5)),
            color=alt.condition("datum.change > 0", alt.value(orange), alt.value(blue)),
            tooltip=[
                "label:N",
                alt.Tooltip("before:Q", title="loss before, nats", format=".4f"),
                alt.Tooltip("after:Q", title="loss after, nats", format=".4f"),
                alt.Tooltip("change:Q", format="+.4f"),
            ],
        )
        .properties(width=PAGE_WIDTH, height=130)
    )
    which = "the token that follows" if len(losses) == 1 else f"each of the {len(losses)} tokens that follow"
    return Picture(
        chart,
        theme=theme,
        description=f"Change of loss on {which} an edited gap"
        f"{f' (the first {MOST_TOKENS} are drawn)' if len(drawn) < len(losses) else ''}; in total "
        f"{losses['change'].sum():+.4f} nats.",
        drawn_text="".join(ticks.values()),
    )


def gap_changes(gaps: pl.DataFrame, edited: int, *, theme: Theme = "light") -> Picture:
    """Draw the change of every gap in every layer as a heat map; the mean over heads.

    The edited gap is marked but not coloured by its change, beside which all others would be pale.

    Args:
        gaps: Columns `layer`, `head`, `cell`, `label`, `before`, `after`, `change`, in positions.
        edited: The cell whose gap was edited.
        theme: `"light"` or `"dark"`.
    """
    first = max(int(gaps["cell"].min() or 0), edited - MOST_TOKENS // 4)  # type: ignore[arg-type]
    over_heads = (
        gaps.group_by("layer", "cell", "label").agg(pl.col("before", "after", "change").mean()).sort("layer", "cell")
    )
    drawn = over_heads.filter(pl.col("cell").is_between(first, first + MOST_TOKENS - 1))
    most = float(over_heads.filter(pl.col("cell") != edited)["change"].abs().max() or 0.0)  # type: ignore[arg-type]
    largest = max(most, 1e-9)
    labels = dict(drawn.select("cell", "label").unique().rows())
    far, _, middle, _, near = COLOURS[theme]["diverging"]
    field = (
        alt.Chart(inline(drawn))
        .mark_rect()
        .encode(
            x=_text_axis("cell", labels),
            y=alt.Y("layer:O", title="layer"),
            color=alt.Color(
                "change:Q",
                title="change of gap, in positions",
                scale=alt.Scale(
                    range=[far, COLOURS[theme]["background"], near],
                    domain=[-largest, 0, largest],
                    interpolate="rgb",
                    clamp=True,
                ),
                legend=alt.Legend(format=".2~g", tickCount=5),
            ),
            tooltip=[
                "label:N",
                "layer:O",
                alt.Tooltip("before:Q", format=".4f"),
                alt.Tooltip("after:Q", format=".4f"),
                alt.Tooltip("change:Q", format="+.4f"),
            ],
        )
    )
    here = field.transform_filter(f"datum.cell === {edited}").mark_rect(
        fillOpacity=0, stroke=COLOURS[theme]["ink"], strokeWidth=1.2
    )
    outlined = here.encode(color=alt.value(middle))
    chart: Any = alt.layer(field, outlined).properties(width=PAGE_WIDTH, height=alt.Step(18))
    return Picture(
        chart,
        theme=theme,
        description="Change of every gap in every layer after the edit"
        f"{f' ({MOST_TOKENS} around it are drawn)' if len(drawn) < len(over_heads) else ''}; outside the edited gap at "
        f"most {most:.4g} positions.",
        drawn_text="".join(labels.values()),
    )


def _text_axis(column: str, labels: dict[int, str]) -> alt.X:
    return alt.X(
        f"{column}:O",
        title=None,
        axis=alt.Axis(
            labelAngle=0, labelFontSize=12, labelExpr=labelled(labels), labelOverlap=False, ticks=False, labelPadding=6
        ),
    )

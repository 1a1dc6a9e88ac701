"""What an edit of the increments changes: predictions, losses, and the gaps downstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from howfar.charts.inline import inline
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

BEFORE, AFTER = "#8a8a8a", "#D55E00"
MOST_TOKENS = 120  # bars of following tokens


def prediction_changes(predictions: pl.DataFrame, *, width: int = 360, theme: Theme = "light") -> Picture:
    """Draw what comes next, before and after the edit.

    Args:
        predictions: Columns `label`, `before`, `after` (probabilities), the likeliest first.
        width: In pixels.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt

    long = predictions.unpivot(["before", "after"], index="label", variable_name="when", value_name="probability")
    chart: Any = (
        alt.Chart(inline(long))
        .mark_bar()
        .encode(
            y=alt.Y("label:N", title="next", sort=predictions["label"].to_list(), axis=alt.Axis(labelFontSize=13)),
            yOffset=alt.YOffset("when:N", sort=["before", "after"]),
            x=alt.X("probability:Q", axis=alt.Axis(format="%"), title="probability"),
            color=_before_and_after(),
            tooltip=["label:N", "when:N", alt.Tooltip("probability:Q", format=".4%")],
        )
        .properties(width=width, height=alt.Step(11))
    )
    return Picture(
        chart, theme=theme, description="Probability of the likeliest next tokens, before and after the edit."
    )


def loss_changes(losses: pl.DataFrame, *, width: int = 940, theme: Theme = "light") -> Picture:
    """Draw the change of loss on each token after the gap.

    Args:
        losses: Columns `token`, `label`, `before`, `after`, `change`, in nats.
        width: In pixels.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt

    drawn = losses.drop("bytes", strict=False).head(MOST_TOKENS)
    labels = dict(zip(drawn["token"].to_list(), drawn["label"].to_list(), strict=True))
    chart: Any = (
        alt.Chart(inline(drawn))
        .mark_bar()
        .encode(
            x=alt.X(
                "token:O",
                title="following tokens",
                axis=alt.Axis(
                    labelAngle=0, labelFontSize=12, labelExpr=_lookup(labels), labelOverlap=False, ticks=False
                ),
            ),
            y=alt.Y("change:Q", title="change of loss, nats"),
            color=alt.condition("datum.change > 0", alt.value(AFTER), alt.value("#0072B2")),
            tooltip=[
                "label:N",
                alt.Tooltip("before:Q", title="loss before, nats", format=".4f"),
                alt.Tooltip("after:Q", title="loss after, nats", format=".4f"),
                alt.Tooltip("change:Q", format="+.4f"),
            ],
        )
        .properties(width=width, height=150)
    )
    return Picture(chart, theme=theme, description="Change of loss on each token after the edited gap.")


def gap_changes(gaps: pl.DataFrame, *, width: int = 940, theme: Theme = "light") -> Picture:
    """Draw the change of every gap in every layer as a field of colour; the mean over heads.

    Args:
        gaps: Columns `layer`, `head`, `cell`, `label`, `before`, `after`, `change`, in positions.
        width: In pixels.
        theme: `"light"` or `"dark"`.
    """
    import altair as alt
    import polars as pl

    drawn = (
        gaps.group_by("layer", "cell", "label").agg(pl.col("before", "after", "change").mean()).sort("layer", "cell")
    )
    largest = max(float(drawn["change"].abs().max() or 0.0), 1e-9)  # type: ignore[arg-type]
    chart: Any = (
        alt.Chart(inline(drawn))
        .mark_rect()
        .encode(
            x=alt.X("cell:O", title="text", axis=alt.Axis(labels=False, ticks=False)),
            y=alt.Y("layer:O", title="layer"),
            color=alt.Color(
                "change:Q",
                title="change of gap",
                scale=alt.Scale(scheme="blueorange", domain=[-largest, largest], domainMid=0),
            ),
            tooltip=[
                "label:N",
                "layer:O",
                alt.Tooltip("before:Q", format=".4f"),
                alt.Tooltip("after:Q", format=".4f"),
                alt.Tooltip("change:Q", format="+.4f"),
            ],
        )
        .properties(width=width, height=alt.Step(16))
    )
    return Picture(chart, theme=theme, description="Change of every gap in every layer after the edit.")


def _before_and_after() -> alt.Color:
    import altair as alt

    return alt.Color("when:N", title=None, scale=alt.Scale(domain=["before", "after"], range=[BEFORE, AFTER]))


def _lookup(labels: dict[int, str]) -> str:
    """A Vega expression from an axis value to its label."""
    import json

    return f"{json.dumps({str(key): label for key, label in labels.items()})}[datum.value]"

"""The marks of a picture of spacing: one Altair chart over the tables of `howfar.charts.tables`.

All coordinates are pixels that the layout has settled, so no scale stands between a table and the drawing, and the same
marks draw one panel or all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from howfar.charts.layout import BASELINE, FONT_SIZE, GLYPH_HEIGHT, ROW_PITCH, RULER_HEIGHT
from howfar.charts.tables import Table, column_types, to_csv

if TYPE_CHECKING:
    import altair as alt

CHOSEN = "chosen"
"""The selection of a cell by click, tap or keyboard."""

STRETCH_DOMAIN = (-2, 0, 2)  # doublings: colours tell gaps apart from a quarter to four times a plain one
_IS_WIDE = r"test(/[\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\uffef]/, datum.label)"  # East Asian
_STRETCH = "log(max(datum.ratio, 1 / 64)) / LN2"  # gaps of nothing, or backwards, take the colour of the closest
_STRETCH_LABELS = "['≤ ¼', '½', '1', '2', '≥ 4'][datum.value + 2]"


def draw(tables: Mapping[str, Table], colour: alt.Color) -> alt.LayerChart:
    """Draw a picture's panels, without size or caption.

    Args:
        tables: `steps`, `cells` and `rows`.
        colour: How gaps and glyphs are coloured; a column of `steps` or `cells`.
    """
    import altair as alt

    chosen = alt.selection_point(name=CHOSEN, fields=["cell"], on="click", toggle=False, empty=False)
    hovered = alt.selection_point(name="hovered", fields=["cell"], on="pointerover", clear="pointerout", empty=False)
    data = {
        name: alt.NamedData(name, format=alt.CsvDataFormat(type="csv", parse=column_types(table)))
        for name, table in tables.items()
    }
    of_cell = alt.LookupData(data["cells"], key="cell", fields=[name for name in tables["cells"] if name != "cell"])
    steps = alt.layer(
        *_spacing_marks(colour),
        *(layer.transform_filter(chosen | hovered) for layer in _chosen_marks()),
        _targets().add_params(chosen, hovered),
        data=data["steps"],
    ).transform_lookup("cell", of_cell)
    steps = steps.transform_calculate(ratio="datum.gap / datum.tokens").transform_calculate(stretch=_STRETCH)
    datasets = {name: to_csv(table) for name, table in tables.items()}
    return alt.layer(steps, *_row_names(data["rows"])).properties(datasets=datasets)


def gap_colour() -> alt.Color:
    """Blue where a gap is narrower than the plain one, orange where it is wider."""
    import altair as alt

    return alt.Color(
        "stretch:Q",
        scale=alt.Scale(domain=list(STRETCH_DOMAIN), range="diverging", interpolate="rgb", clamp=True),
        legend=alt.Legend(type="gradient", title="gap ÷ plain gap: blue closer, orange farther", values=[-2, -1, 0, 1, 2], labelExpr=_STRETCH_LABELS),
    )


def nats_colour(column: str, title: str, highest: float) -> alt.Color:
    """Darker (in the dark theme, lighter) with more nats, up to the highest that is told apart."""
    import altair as alt

    return alt.Color(
        f"{column}:Q",
        scale=alt.Scale(domain=[0, highest], range="ramp", interpolate="rgb", clamp=True),
        legend=alt.Legend(type="gradient", title=title),
    )


def _spacing_marks(colour: alt.Color) -> list[alt.Chart]:
    """Threads between rows, rulers as long as gaps, and glyphs."""
    import altair as alt

    chart = alt.Chart()
    threads = _thread(chart, "thread")
    rulers = (
        chart.transform_calculate(
            end="datum.x + (datum.x > datum.before ? -0.6 : 0.6)",
            ruler_top=f"datum.y + {BASELINE - RULER_HEIGHT / 2}",
            ruler_bottom=f"datum.y + {BASELINE + RULER_HEIGHT / 2}",
        )
        .mark_rect(style="ruler", aria=False)
        .encode(_pixels("x", "end"), _pixels("y", "ruler_top"), x2="before:Q", y2="ruler_bottom:Q", color=colour)
    )
    breaks = (
        chart.transform_filter("datum.broken")
        .transform_calculate(middle="(datum.x + datum.before) / 2", text="'⟵ ' + format(datum.gap, '.3~g') + ' ⟶'")
        .mark_text(style="row-note", align="center", aria=False)
        .encode(_pixels("x", "middle"), _pixels("y"), text="text:N")
    )
    glyphs = [
        chart.transform_filter(which)
        .mark_text(style=style, aria=False)
        .encode(_pixels("x", "glyph"), _pixels("y"), text="label:N", size=alt.Size("size:Q", scale=None, legend=None), color=colour)
        for style, which in (("glyph", f"!{_IS_WIDE}"), ("wide-glyph", _IS_WIDE))
    ]
    leaders = (
        chart.transform_filter("abs(datum.glyph - datum.x) > 1.5")
        .transform_calculate(leader_top=f"datum.y + {GLYPH_HEIGHT - 2}", leader_bottom=f"datum.y + {BASELINE - RULER_HEIGHT / 2}")
        .mark_rule(style="thread", aria=False)
        .encode(_pixels("x", "glyph"), _pixels("y", "leader_top"), x2="x:Q", y2="leader_bottom:Q")
    )
    return [threads, leaders, rulers, breaks, *glyphs]


def _chosen_marks() -> list[alt.Chart]:
    """The same cell in all rows, at full size, over all else."""
    import altair as alt

    chart = alt.Chart()
    back = (
        chart.transform_calculate(
            back_left="datum.x - datum.width / 2 - 4",
            back_right="datum.x + datum.width / 2 + 4",
            back_top=f"datum.y - {GLYPH_HEIGHT + 1}",
            back_bottom=f"datum.y + {GLYPH_HEIGHT + 1}",
        )
        .mark_rect(style="chosen-back", aria=False)
        .encode(_pixels("x", "back_left"), _pixels("y", "back_top"), x2="back_right:Q", y2="back_bottom:Q")
    )
    glyph = chart.mark_text(style="chosen-glyph", fontSize=FONT_SIZE, aria=False).encode(
        _pixels("x"), _pixels("y"), text="label:N"
    )
    return [_thread(chart, "chosen-thread"), back, glyph]


def _targets() -> alt.Chart:
    """Where a cell is hovered or chosen: nothing to see, half way to its neighbours."""
    import altair as alt

    half = ROW_PITCH / 2
    tooltip = [
        alt.Tooltip("character:N"),
        alt.Tooltip("bytes:N"),
        alt.Tooltip("row:N"),
        alt.Tooltip("gap:Q", format=".3~g"),
        alt.Tooltip("ratio:Q", title="÷ plain gap", format=".3~g"),
        alt.Tooltip("position:Q", format=",.2~f"),
        alt.Tooltip("increments:N", title="raw increments"),
        alt.Tooltip("surprisal:Q", title="surprisal (nats)", format=".3~g"),
        alt.Tooltip("entropy:Q", title="entropy after (nats)", format=".3~g"),
    ]
    return (
        alt.Chart()
        .transform_calculate(top=f"datum.y - {half}", bottom=f"datum.y + {half}")
        .mark_rect(opacity=0, aria=False)
        .encode(_pixels("x", "left"), _pixels("y", "top"), x2="right:Q", y2="bottom:Q", tooltip=tooltip)
    )


def _row_names(data: alt.NamedData) -> list[alt.Chart]:
    import altair as alt

    chart = alt.Chart(data)
    return [
        chart.mark_text(style=f"row-{column}", x=0, dy=dy, aria=False).encode(_pixels("y"), text=f"{column}:N")
        for column, dy in (("name", -5), ("note", 9))
    ]


def _thread(chart: alt.Chart, style: str) -> alt.Chart:
    """A line from each cell's ruler to its glyph one row below."""
    return (
        chart.transform_filter("isValid(datum.glyph_below)")
        .transform_calculate(thread_top=f"datum.y + {BASELINE + 3}", thread_end=f"datum.y + {ROW_PITCH - GLYPH_HEIGHT}")
        .mark_rule(style=style, aria=False)
        .encode(_pixels("x"), _pixels("y", "thread_top"), x2="glyph_below:Q", y2="thread_end:Q")
    )


def _pixels(channel: str, column: str | None = None) -> Any:
    """Encode a column of pixels as it is."""
    import altair as alt

    encode = alt.X if channel == "x" else alt.Y
    return encode(f"{column or channel}:Q", scale=None, axis=None)

"""The marks of a picture of spacing: one Altair chart over the tables of `howfar.charts.tables`.

All coordinates are pixels that the layout has settled, so no scale stands between a table and the drawing, and the same
marks draw one panel or all of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from howfar.charts.glyphs import SPACE, width_in_ems
from howfar.charts.layout import BASELINE, FONT_SIZE, GLYPH_HEIGHT, ROW_PITCH, RULER_HEIGHT
from howfar.charts.tables import Datasets

if TYPE_CHECKING:
    import altair as alt

    from howfar.charts.rows import Cells

Colour = Literal["gap", "surprisal", "entropy"]

CHOSEN = "chosen"
"""The selection of a cell by click, tap or keyboard."""

_NAMES = ("steps", "cells", "rows")
MOST_DOUBLINGS = 2  # colours tell gaps apart from a quarter to four times a plain one,
MOST_NATS_QUANTILE = 0.98  # and nats up to the number that so large a share stays below
_IS_WIDE = r"test(/[\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\uffef]/, datum.letters)"  # East Asian
_SPACE_EMS = width_in_ems(SPACE)
# In ems from a glyph's middle. An area, not a stroke, beside which Vega's legend of fills would be no gradient.
_SPACE_PATH = "M-0.26,0.14V0.36H0.26V0.14H0.19V0.29H-0.19V0.14Z"
_STRETCH = "log(max(datum.ratio, 1 / 64)) / LN2"  # gaps of nothing, or backwards, take the colour of the closest
_RULER_END = "datum.x + (datum.x > datum.before ? -0.6 : 0.6)"
_STRETCH_LABELS = "['≤ ¼', '½', '1', '2', '≥ 4'][datum.value + 2]"


def draw(datasets: Datasets, colour: alt.Color, *, still: bool = False) -> alt.LayerChart:
    """Draw a picture's panels, without size or caption.

    Args:
        datasets: From `howfar.charts.tables`.
        colour: How gaps and glyphs are coloured; by a column of `steps` or `cells`, or by `stretch`.
        still: Leave out what answers to a pointer.
    """
    import altair as alt

    chosen = alt.selection_point(name=CHOSEN, fields=["cell"], on="click", toggle=False, empty=False)
    hovered = alt.selection_point(name="hovered", fields=["cell"], on="pointerover", clear="pointerout", empty=False)
    steps, cells, rows = (alt.NamedData(name, format=alt.JsonDataFormat(type="json")) for name in _NAMES)
    of_cell = alt.LookupData(cells, key="cell", fields=[name for name in datasets["cells"][0] if name != "cell"])
    answers = [*_chosen_marks(chosen | hovered), _targets().add_params(chosen, hovered)]
    marks = (
        alt.layer(*_spacing_marks(colour), *([] if still else answers), data=steps)
        .transform_flatten(list(datasets["steps"][0]))
        .transform_lookup("cell", of_cell)
        .transform_calculate(ratio="datum.gap / datum.tokens")
        .transform_calculate(stretch=_STRETCH, letters=f"replace(datum.label, /^{SPACE}+/, '')")
        .transform_calculate(spaces="length(datum.label) - length(datum.letters)", end=_RULER_END)
        .transform_calculate(letters_middle=_letters_middle("glyph", "datum.size"))
    )
    # As text, which Altair does not check value by value.
    texts = {name: json.dumps(datasets[name], ensure_ascii=False, separators=(",", ":")) for name in _NAMES}
    return alt.LayerChart(layer=[marks, *_row_names(rows)], datasets=texts)


def colour_by(colour: Colour, cells: Cells) -> alt.Color:
    """The encoding of a colour: blue and orange by gap, or from light to dark (in the dark theme, back) by nats."""
    import altair as alt

    if colour == "gap":
        title, labels = "gap ÷ plain gap: blue closer, orange farther", list(range(-MOST_DOUBLINGS, MOST_DOUBLINGS + 1))
        return alt.Color(
            "stretch:Q",
            scale=alt.Scale(
                domain=[-MOST_DOUBLINGS, 0, MOST_DOUBLINGS], range="diverging", interpolate="rgb", clamp=True
            ),
            legend=alt.Legend(type="gradient", title=title, values=labels, labelExpr=_STRETCH_LABELS),
        )
    of_character = colour == "surprisal"
    nats = cells.surprisal_nats if of_character else cells.entropy_nats
    title = f"surprisal of the {cells.noun}, in nats" if of_character else "entropy of what follows, in nats"
    highest = float(np.ceil(np.quantile(nats, MOST_NATS_QUANTILE))) or 1.0
    return alt.Color(
        f"{colour}:Q",
        scale=alt.Scale(domain=[0, highest], range="ramp", interpolate="rgb", clamp=True),
        legend=alt.Legend(type="gradient", title=title),
    )


def _spacing_marks(colour: alt.Color) -> list[alt.Chart]:
    """Threads between rows, rulers as long as gaps, and glyphs.

    A calculation of a mark's own makes Vega copy every cell of every row for it: only those few that a filter leaves
    are worth one, all others stand in `draw`, and constants are the marks' offsets.
    """
    import altair as alt

    chart = alt.Chart()
    half = RULER_HEIGHT / 2
    rulers = chart.mark_rect(style="ruler", yOffset=BASELINE - half, y2Offset=BASELINE + half, aria=False).encode(
        _pixels("x", "end"), _pixels("y"), x2="before:Q", y2="y:Q", color=colour
    )
    breaks = (
        chart.transform_filter("datum.broken")
        .transform_calculate(middle="(datum.x + datum.before) / 2", text="'⟵ ' + format(datum.gap, '.3~g') + ' ⟶'")
        .mark_text(style="row-note", align="center", aria=False)
        .encode(_pixels("x", "middle"), _pixels("y"), text="text:N")
    )
    size = alt.Size("size:Q", scale=None, legend=None)
    glyphs = [
        _letters(chart.transform_filter(f"datum.letters !== '' && {which}"), style=style).encode(
            size=size, color=colour
        )
        for style, which in (("glyph", f"!{_IS_WIDE}"), ("wide-glyph", _IS_WIDE))
    ]
    spaces = _leading_spaces(chart, "glyph", "datum.size", style="space").encode(color=colour)
    leaders = (
        chart.transform_filter("abs(datum.glyph - datum.x) > 1.5")
        .mark_rule(style="thread", yOffset=GLYPH_HEIGHT - 2, y2Offset=BASELINE - half, aria=False)
        .encode(_pixels("x", "glyph"), _pixels("y"), x2="x:Q", y2="y:Q")
    )
    return [_thread(chart, "thread"), leaders, rulers, breaks, *glyphs, spaces]


def _chosen_marks(which: alt.PredicateComposition) -> list[alt.Chart]:
    """The same cell in all rows, at full size, over all else."""
    import altair as alt

    chart = alt.Chart().transform_filter(which)
    reach = GLYPH_HEIGHT + 1
    back = (
        chart.transform_calculate(back_left="datum.x - datum.width / 2 - 4", back_right="datum.x + datum.width / 2 + 4")
        .mark_rect(style="chosen-back", yOffset=-reach, y2Offset=reach, aria=False)
        .encode(_pixels("x", "back_left"), _pixels("y"), x2="back_right:Q", y2="y:Q")
    )
    size = str(FONT_SIZE)
    letters = _letters(
        chart.transform_calculate(letters_middle=_letters_middle("x", size)), style="chosen-glyph", fontSize=FONT_SIZE
    )
    return [_thread(chart, "chosen-thread"), back, letters, _leading_spaces(chart, "x", size, style="chosen-space")]


def _letters(chart: alt.Chart, **options: Any) -> alt.Chart:
    """Labels without the spaces that they begin with, which are no text: see `_leading_spaces`."""
    return chart.mark_text(aria=False, **options).encode(_pixels("x", "letters_middle"), _pixels("y"), text="letters:N")


def _letters_middle(middle: str, size: str) -> str:
    return f"datum.{middle} + datum.spaces * {_SPACE_EMS / 2} * {size}"


def _leading_spaces(chart: alt.Chart, middle: str, size: str, **options: Any) -> alt.Chart:
    """The signs for the spaces that labels begin with, drawn.

    Few fonts have such a sign, and PNG and PDF files take the whole of a label from the font that has all of it: words
    would come out in another and wider one, emoji as boxes.
    """
    import altair as alt

    place = f"(datum.space + 0.5) * {_SPACE_EMS} * {size} - datum.width / 2 * {size} / {FONT_SIZE}"
    return (
        chart.transform_filter("datum.spaces > 0")
        .transform_calculate(space="sequence(datum.spaces)")
        .transform_flatten(["space"])
        .transform_calculate(space_middle=f"datum.{middle} + {place}", space_size=f"4 * {size} * {size}")
        .mark_point(shape=_SPACE_PATH, filled=True, opacity=1, aria=False, **options)
        .encode(_pixels("x", "space_middle"), _pixels("y"), size=alt.Size("space_size:Q", scale=None, legend=None))
    )


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
        .mark_rect(opacity=0, yOffset=-half, y2Offset=half, aria=False)
        .encode(_pixels("x", "left"), _pixels("y"), x2="right:Q", y2="y:Q", tooltip=tooltip)
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
        .mark_rule(style=style, yOffset=BASELINE + 3, y2Offset=ROW_PITCH - GLYPH_HEIGHT, aria=False)
        .encode(_pixels("x"), _pixels("y"), x2="glyph_below:Q", y2="y:Q")
    )


def _pixels(channel: str, column: str | None = None) -> Any:
    """Encode a column of pixels as it is."""
    import altair as alt

    encode = alt.X if channel == "x" else alt.Y
    return encode(f"{column or channel}:Q", scale=None, axis=None)

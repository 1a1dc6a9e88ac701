"""The picture of spacing, live: the page keeps the drawing, and only the numbers in it change hands."""

from __future__ import annotations

import json
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from howfar.charts import marks
from howfar.charts.captions import describe, reads_right_to_left
from howfar.charts.layout import Layout, lay_out
from howfar.charts.marks import Colour
from howfar.charts.page import library
from howfar.charts.rows import Cells, Row, Scale, plain_row, rows_of
from howfar.charts.tables import datasets
from howfar.charts.theme import Theme, config

SMALLEST_ROOM = 360  # pixels
NOTHING: dict[str, Any] = {"revision": 0, "count": 0, "sheets": [], "first": 0, "description": "no text"}
_revisions = count(1)


class LiveSpacing(anywidget.AnyWidget):
    """A picture of spacing that follows what is typed.

    Sheets, the panels of a wrapped text, are sent as they come into sight, so a long text costs little more than a
    short one.

    Args:
        theme: `"light"` or `"dark"`; the page then sets its own.
        chosen: The selected cell.
    """

    spec = traitlets.Dict().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    theme = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int().tag(sync=True)
    clicked = traitlets.List(traitlets.Int(), [0, 0]).tag(sync=True)  # a cell, and when: never twice the same
    room = traitlets.Int(1100).tag(sync=True)
    visible = traitlets.List(traitlets.Int(), [0, 2]).tag(sync=True)

    _esm = ""  # set below, once, for it holds the drawing library
    _css = (
        ".howfar-live { max-height: 72vh; overflow: auto; contain: inline-size; } "
        ".howfar-live svg { display: block; cursor: pointer; }"
    )

    def __init__(self, theme: Theme, chosen: int) -> None:
        type(self)._esm = script()
        self._cells: Cells | None = None
        super().__init__(theme=theme, chosen=chosen, picture=NOTHING)
        self.observe(lambda _: self._lay_out(), names="room")
        self.observe(lambda _: self._draw(), names=["visible", "theme"])

    def show(self, cells: Cells, scale: Scale, colour: Colour) -> None:
        """Show a text.

        Raises:
            NotMeasurableError: Its model's positions do not accumulate, or the scale would divide by 0 or less.
        """
        self._rows = [plain_row(cells), *rows_of(cells, scale)]
        self._cells, self._scale, self._colour = cells, scale, colour
        self._lay_out()

    def clear(self) -> None:
        """Show nothing."""
        self._cells = None
        self.picture = NOTHING

    def _lay_out(self) -> None:
        if self._cells is None:
            return
        cells, width = self._cells, max(SMALLEST_ROOM, self.room - 16)
        right_to_left = reads_right_to_left(cells.trace.text)
        self._layout = lay_out(self._rows, cells.labels, width, right_to_left=right_to_left)
        self._draw()

    def _draw(self) -> None:
        if self._cells is None:
            return
        layout = self._layout
        spec = template(self._cells, self._colour, self.theme)
        first = min(self.visible[0], len(layout.panels) - 1)
        stop = min(self.visible[1] + 1, len(layout.panels))
        if spec != self.spec:
            self.spec = spec  # first, for a new picture is drawn by it
        self.picture = {
            "revision": next(_revisions),
            "width": layout.width,
            "height": layout.height / len(layout.panels),
            "colour": self._colour,
            "count": len(layout.panels),
            "num_cells": len(self._cells),
            "first": first,
            "sheets": [sheet(self._cells, self._rows, layout, index) for index in range(first, stop)],
            "description": describe(self._cells, self._rows, self._scale),
        }


def sheet(cells: Cells, rows: list[Row], layout: Layout, index: int) -> str:
    """The data of one panel as JSON: text, which nothing on the way walks through value by value."""
    panel = layout.panels[index]
    tables = datasets(cells, rows, layout, [panel], origin=panel.top)
    return json.dumps(tables, ensure_ascii=False, separators=(",", ":"))


_templates: dict[str, dict[str, Any]] = {}


def template(cells: Cells, colour: Colour, theme: Theme) -> dict[str, Any]:
    """The picture's specification without its data; Altair takes long to make one, so each is made once."""
    encoding = marks.colour_by(colour, cells)
    key = f"{theme} {encoding.to_dict(validate=False)}"
    if key not in _templates:
        row = plain_row(cells)
        layout = lay_out([row], cells.labels, SMALLEST_ROOM)
        chart = marks.draw(datasets(cells, [row], layout, layout.panels[:1]), encoding)
        _templates[key] = chart.configure(**config(theme)).to_dict() | {"datasets": {}}
    return _templates[key]


@cache
def script() -> str:
    """The drawing library, the same as in a saved page, and what uses it; nothing is fetched from elsewhere."""
    return library() + "\n" + Path(__file__).with_name("live.js").read_text(encoding="utf-8")

"""The live picture of spacing: the page draws it, and only its numbers are exchanged.

The page asks by messages, which run no cell of the notebook as a changed trait would. A message `typed` is a text that
is being typed: it is drawn, and the cells follow when the typing pauses and find the picture already there. A message
`asked` is about one gap, which may be moved; the answer `told` has the new gaps, the model's prediction after it and
the changed losses. The end of a drag is sent as the trait `moved`, which the rest of the page follows.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import anywidget
import numpy as np
import polars as pl
import traitlets

from howfar.charts.assets import asset
from howfar.charts.rows import Cells, Scale
from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.colours import Colour
from howfar.charts.spacing.content import Content, rounded
from howfar.charts.spacing.page import script, styles
from howfar.charts.spacing.svg import View
from howfar.charts.theme import Theme
from howfar.errors import HowFarError
from howfar.explorer.inference import Inference
from howfar.explorer.parts import token_label
from howfar.explorer.what_if import FACTORS, Edit, WhatIf
from howfar.reading import Trace

BOXES = ("Text", "Second text")
"""Labels of the page's text boxes."""
PAUSE_MILLISECONDS = 200
"""How long after the last key the page's cells run; the picture does not wait."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """The data of a picture: a text as a model reads it."""

    model: str
    trace: Trace
    cells: Cells
    content: Content
    view: View


class LiveSpacing(anywidget.AnyWidget):
    """A picture of spacing that follows the text, and whose gaps can be moved.

    Args:
        inference: The models.
        theme: `"light"` or `"dark"`; the page then sets its own.
        cell: Number of the selected character.
    """

    box = traitlets.Unicode(BOXES[0]).tag(sync=True)  # label of the text box that the picture follows
    picture = traitlets.Unicode("").tag(sync=True)  # JSON as text, which nothing on the way parses
    edit = traitlets.Unicode("{}").tag(sync=True)  # values of the page's other controls
    theme = traitlets.Unicode().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)  # the cell that the rest of the page shows, and when it was chosen
    clicked = traitlets.List(traitlets.Int(), [0, 0]).tag(sync=True)  # a cell and a time, so that no two are equal
    moved = traitlets.Unicode("{}").tag(sync=True)
    filled = traitlets.Unicode("{}").tag(sync=True)  # texts for the page's boxes, numbered
    before = traitlets.Unicode(None, allow_none=True).tag(sync=True)  # the text as it was before the model wrote on

    _esm = ""  # set below, once
    _css = styles(moving=True) + ".howfar-live { max-height: 72vh; overflow: auto !important; contain: inline-size; }"

    def __init__(self, inference: Inference, theme: Theme, cell: int) -> None:
        type(self)._esm = module()
        self._inference, self._revision, self._num_filled = inference, 0, 0
        self._shown: _Shown | None = None
        self._random = np.random.default_rng()
        super().__init__(theme=theme)
        self.select(cell, when=0)
        self.on_msg(self._hear)

    def show(self, model: str, trace: Trace, scale: Scale, colour: Colour) -> None:
        """Show a text.

        Raises:
            NotMeasurableError: Its model's positions do not accumulate, or the scale would divide by 0 or less.
        """
        view, last = View(scale, colour, "all"), self._shown
        if last is not None and last.trace is trace and (last.model, last.view) == (model, view):
            return
        content, cells = content_of(trace, scale, has_captions=False), Cells.of(trace)
        self._shown = _Shown(model, trace, cells, content, view)
        self._revision += 1
        sent = {"content": content.json(), "view": view.json(), "revision": self._revision}
        sent |= {"text": trace.text, "ends": cells.end_characters.tolist()}
        self.picture = _json(sent)

    def select(self, cell: int, when: int) -> None:
        """Select the cell chosen at that time (the browser's, in ms), unless the reader has chosen a later one."""
        self.selected = _json({"cell": cell, "when": when})

    def fill(self, *texts: str) -> None:
        """Put texts into the page's boxes as if they were typed."""
        self._num_filled += 1
        self.filled = _json({"texts": dict(zip(BOXES, texts, strict=True)), "number": self._num_filled})

    def clear(self) -> None:
        """Show nothing."""
        self._shown = None
        self.picture = ""

    def _hear(self, _: Any, message: Any, __: Any) -> None:
        """Answer a message; one that no page sends is passed over."""
        if not isinstance(message, dict):
            return
        if isinstance(message.get("typed"), str):
            self._type(message["typed"])
            self.send({"isDrawn": True})
        elif isinstance(message.get("asked"), dict):
            with suppress(ValueError, TypeError, KeyError):
                self.send({"told": _json(self._answer(message["asked"]))})

    def _type(self, text: str) -> None:
        """Draw a text that is being typed; one that cannot be read is left to the page, which says why."""
        if (shown := self._shown) is not None:
            with suppress(HowFarError):
                self.show(shown.model, self._inference.trace(shown.model, text), shown.view.scale, shown.view.colour)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        shown = self._shown
        try:
            edit = _edit(asked, shown.cells) if shown is not None else None
            if shown is None or edit is None or asked.get("revision") != self._revision:
                answer: dict[str, Any] = {}
            elif isinstance(asked.get("text"), str):
                answer = self._write(shown, asked["text"], edit)
            else:
                answer = tell(self._inference.what_if(shown.model, shown.trace.text, edit), shown.content, shown.cells)
        except HowFarError as error:
            answer = {"error": f"{error}."}
        return {**answer, "when": asked.get("when"), "revision": asked.get("revision")}

    def _write(self, shown: _Shown, text: str, edit: Edit) -> dict[str, Any]:
        """Write one character after a text, and draw both."""
        data = self._inference.write_on(shown.model, text, edit, self._random)
        longer = text + data.decode(errors="replace")
        trace = self._inference.trace(shown.model, longer)
        content = content_of(trace, shown.view.scale, has_captions=False)
        return {"text": longer, "isEnd": not data, "content": content.json()}


def tell(result: WhatIf, content: Content, cells: Cells) -> dict[str, Any]:
    """The effect of an edit as plain values.

    Returns:
        Changed `gaps` by row, `expected` and `losses` by cell, and `hasMore`: whether the passage ends before the text.
    """
    answer: dict[str, Any] = {
        "expected": [
            {"label": token_label(data), "before": before, "after": after} for data, before, after in result.characters
        ]
    }
    if result.edit.is_none:
        return answer
    gaps, losses = result.gaps(cells), result.losses(cells)
    changes = gaps.group_by("layer", "cell").agg(pl.col("change").mean()).sort("layer", "cell")
    rows = [index for index, row in enumerate(content.rows) if not row.is_plain]
    layers = result.before.layers
    by_row = {}
    for index, row in zip(rows, layers if len(rows) == len(layers) else layers[:1], strict=False):
        own = changes.filter(changes["layer"] == row)
        moved = content.rows[index].gaps.copy()
        here = own["cell"].to_numpy()
        drawn = here < len(moved)
        moved[here[drawn]] += own["change"].to_numpy()[drawn]
        by_row[index] = rounded(moved).tolist()
    by_cell = losses.group_by("cell").agg(pl.col("change").sum()).sort("cell")
    labels = content.texts[0].labels
    return {
        **answer,
        "gaps": by_row,
        "hasMore": result.has_more(cells),
        "losses": [
            {"label": labels[cell] if cell < len(labels) else "⏎", "change": change} for cell, change in by_cell.rows()
        ],
    }


def _edit(asked: dict[str, Any], cells: Cells) -> Edit | None:
    """The edit that a page asks for; None if no page could ask for it."""
    cell, factor, layer = asked["cell"], asked["factor"], asked["layer"]
    if not (isinstance(cell, int) and 0 <= cell < len(cells) and factor in FACTORS and isinstance(layer, int | None)):
        return None
    return Edit(cells.token_spans[cell], float(factor), layer, bool(asked.get("plain")))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@cache
def module() -> str:
    """The script of all spacing pictures, and its connection to the server."""
    return script(moving=True) + asset("explorer/live.js")

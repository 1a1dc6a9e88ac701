"""The picture of spacing, live: the page draws it, and only the numbers in it change hands."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import anywidget
import traitlets

from howfar.charts.rows import Scale
from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.colours import Colour
from howfar.charts.spacing.page import script, styles
from howfar.charts.spacing.svg import View
from howfar.charts.theme import Theme
from howfar.reading import Trace


class LiveSpacing(anywidget.AnyWidget):
    """A picture of spacing that follows what is typed.

    Args:
        theme: `"light"` or `"dark"`; the page then sets its own.
        chosen: The selected cell.
    """

    picture = traitlets.Unicode("").tag(sync=True)  # JSON, as text, which nothing on the way walks through
    theme = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int().tag(sync=True)
    clicked = traitlets.List(traitlets.Int(), [0, 0]).tag(sync=True)  # a cell, and when: never twice the same

    _esm = ""  # set below, once
    _css = styles() + ".howfar-live { max-height: 72vh; overflow: auto !important; contain: inline-size; }"

    def __init__(self, theme: Theme, chosen: int) -> None:
        type(self)._esm = module()
        super().__init__(theme=theme, chosen=chosen)

    def show(self, trace: Trace, scale: Scale, colour: Colour) -> None:
        """Show a text.

        Raises:
            NotMeasurableError: Its model's positions do not accumulate, or the scale would divide by 0 or less.
        """
        content, view = content_of(trace, scale).json(), View(scale, colour, "all").json()
        self.picture = json.dumps({"content": content, "view": view}, ensure_ascii=False, separators=(",", ":"))

    def clear(self) -> None:
        """Show nothing."""
        self.picture = ""


@cache
def module() -> str:
    """The script of all pictures of spacing, and what connects it with the server."""
    return script() + Path(__file__).with_name("live.js").read_text(encoding="utf-8")

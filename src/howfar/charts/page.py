"""A picture as a web page: one file that needs no network, with its own copy of the drawing library.

The page's script (in `page.html`) chooses a layout by the screen's width and a theme by the reader's preference, draws
the parts of a long picture as they are scrolled to, and lets the keyboard choose a character.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from howfar.charts.theme import COLOURS, config

if TYPE_CHECKING:
    from howfar.charts.picture import Picture


def html(picture: Picture) -> str:
    """Give the page of a picture."""
    spec = picture.chart.to_dict()
    content: dict[str, Any] = {
        "description": picture.description,
        "themes": {theme: {"config": config(theme), "colours": COLOURS[theme]} for theme in COLOURS},
        "pages": None,
    }
    del spec["config"]
    if picture.pages is not None:
        del spec["datasets"]
        content["pages"] = [
            {
                "width": page.width,
                "title": page.title,
                "sheets": [{"height": sheet.height, "datasets": sheet.datasets} for sheet in page.sheets],
            }
            for page in picture.pages()
        ]
    template = resources.files("howfar.charts").joinpath("page.html").read_text(encoding="utf-8")
    before_library, between, after_content = (
        part for half in template.split("{{ library }}") for part in half.split("{{ content }}")
    )
    return "".join((before_library, library(), between, script_json({**content, "spec": spec}), after_content))


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which puts `vegaEmbed` on the window."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def script_json(content: dict[str, Any]) -> str:
    """Write JSON that may stand inside a script element, whatever the text in it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

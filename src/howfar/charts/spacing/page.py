"""The spacing picture in web pages and notebooks: one file that requests nothing from other hosts.

The page contains the picture itself, so it is visible without scripts too; the script then fits it to the screen.
"""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from howfar.charts.assets import asset
from howfar.charts.glyphs import PATTERNS, WIDTHS
from howfar.charts.page import HEAD, script_json
from howfar.charts.rows import SCALES
from howfar.charts.spacing.colours import SHADES, UNITS
from howfar.charts.spacing.geometry import GEOMETRY
from howfar.charts.spacing.key import UNITS_IN_KEY
from howfar.charts.spacing.palette import stylesheet

if TYPE_CHECKING:
    from howfar.charts.spacing.picture import SpacingPicture

_MOVING = "mountMoving, withFactors, effectInWords, scalesOf, hasDifference, ratioOf, spreadOf, percent, short, number"
_BASIC = "draw, mount, mountAll, element, counted"
STILL_PANELS = 3  # panels in the page before its script redraws them
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
HINT = "Point at a character or tap it, or press ← and → here, to follow it through the rows; Esc lets it go."


def page(picture: SpacingPicture) -> str:
    """The page of a picture."""
    title = escape(picture.content.title)
    head = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<title>{title}</title>'
    body = "body { margin: 0; background: var(--background); } main { max-width: 1400px; margin: 0 auto; }"
    start = HEAD.replace("<html ", '<html class="howfar" data-mounted ')  # these set its colours
    return (
        f"{start}{head}\n<style>{body}</style>\n</head>\n<body>\n<main>"
        f"{fragment(picture, heading='h1')}</main>\n</body>\n</html>\n"
    )


def fragment(picture: SpacingPicture, *, heading: str = "h2") -> str:
    """The picture as a piece of a page, with everything that it needs."""
    content, drawing = picture.content, picture.drawing
    panels = drawing.layout.panels[:STILL_PANELS]
    sheets = [("header", drawing.header_height, drawing.header())]
    sheets += [("panel", drawing.panel_height, drawing.panel(index)) for index in range(len(panels))]
    drawn = "".join(
        f'<svg class="{name}" width="{drawing.width:g}" height="{height:g}" aria-hidden="true">{body}</svg>'
        for name, height, body in sheets
    )
    captions = "".join(f"<p>{escape(caption)}</p>" for caption in content.captions)
    data = script_json({"content": content.json(), "view": picture.view.json()})
    return (
        f"<style>{styles()}</style>\n"
        f'<div class="howfar"><{heading}>{escape(content.title)}</{heading}>{captions}<div class="controls"></div>'
        f'<div class="picture" tabindex="0" role="group" aria-label="{escape(picture.description)}">{drawn}</div>'
        f'<p class="hint">{HINT}</p>'
        '<details><summary>All numbers as a table</summary><div class="scroll"></div></details>'
        '<div class="readout" role="status" aria-live="polite"></div>'
        f'<script type="application/json">{data}</script></div>\n'
        f"<script>{script()}window.howfarSpacing.mountAll();</script>\n"
    )


@cache
def styles(*, moving: bool = False) -> str:
    """The style sheet of pictures in pages, for light and dark; `moving` as for `script`."""
    return stylesheet() + asset("charts/spacing/page.css") + (asset("charts/spacing/move.css") if moving else "")


@cache
def script(*, moving: bool = False) -> str:
    """The script, which defines `howfarSpacing` on the window: `draw`, `mount`, `mountAll` and pieces of them.

    Args:
        moving: Whether to include `mountMoving`, for pages where a model answers when a gap is moved.
    """
    shared: dict[str, Any] = {
        "GEOMETRY": GEOMETRY,
        "PATTERNS": PATTERNS,
        "WIDTHS": WIDTHS,
        "SCALES": SCALES,
        "SHADES": SHADES,
        "UNITS": UNITS,
        "UNITS_IN_KEY": UNITS_IN_KEY,
    }
    constants = "".join(f"const {name} = {script_json(value)};\n" for name, value in shared.items())
    files = ("draw.js", "look.js", "move.js") if moving else ("draw.js", "look.js")
    drawing = "".join(asset(f"charts/spacing/{name}") for name in files)
    names = f"{_BASIC}, {_MOVING}" if moving else _BASIC
    return f'window.howfarSpacing ??= (() => {{\n"use strict";\n{constants}{drawing}return {{ {names} }};\n}})();\n'

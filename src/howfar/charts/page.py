"""Web pages as one file without network access; a chart's page includes the drawing library.

A page's script (in `page.js`) fits a chart to the screen, in the reader's preferred theme (by `embed.js`, which
reports share).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from howfar.charts.assets import asset
from howfar.charts.theme import COLOURS, config, declared, page_colours

if TYPE_CHECKING:
    from howfar.charts.picture import Picture

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
SCRIPT_POLICY = f"{POLICY}; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:"


def html(picture: Picture) -> str:
    """The page of a picture."""
    spec = picture.chart.to_dict()
    del spec["config"]
    scripts = page_scripts({"description": picture.description, "spec": spec}, asset("charts/page.js"))
    return web_page("howfar", [asset("charts/page.css")], asset("charts/page.html"), scripts)


def web_page(title: str, styles: Sequence[str], body: str, scripts: str = "") -> str:
    """A page in the themes' colours that requests nothing from other hosts.

    Args:
        title: Title of the browser's tab.
        styles: More style sheets.
        body: HTML.
        scripts: Script elements; without any, scripts are forbidden.
    """
    policy = SCRIPT_POLICY if scripts else POLICY
    style = "".join((_colours(), asset("charts/base.css"), *styles))
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<title>{escape(title)}</title>'
    return f"{HEAD}{head}\n<style>\n{style}</style>\n</head>\n<body>\n{body}{scripts}</body>\n</html>\n"


def page_scripts(content: dict[str, Any], script: str) -> str:
    """Script elements: the drawing library, the data and themes, and the script that draws.

    Args:
        content: Data that the script finds as `content`, together with the `themes`.
        script: JavaScript, run after `embed.js`.
    """
    everything = script_json({**content, "themes": {theme: config(theme) for theme in COLOURS}})
    drawing = asset("charts/embed.js") + script
    return (
        f"<script>{library()}</script>\n"
        f'<script type="application/json" id="content">{everything}</script>\n'
        f"<script>\n{drawing}</script>\n"
    )


def _colours() -> str:
    """The colours of the reader's preferred theme, as CSS variables."""
    light, dark = (f":root {{ {declared(page_colours(theme))} }}" for theme in ("light", "dark"))
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which puts `vegaEmbed` on the window."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def script_json(content: dict[str, Any]) -> str:
    """Write JSON that is safe inside a script element, whatever its text."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

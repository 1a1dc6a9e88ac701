"""The picture's colours, light and dark, and its style sheet.

Blue against orange, and a ramp from grey to violet, are distinguishable in all common forms of colour blindness.
Letters have a contrast of at least 4.5 on every shade.
"""

from __future__ import annotations

import re

from howfar.charts.assets import asset
from howfar.charts.theme import Theme, declared, page_colours

_TILES: dict[Theme, str] = {
    "light": "#79aef8 #9ac1f9 #bad4fa #d6e5fa #eceff3 #f9e2cf #f8cba6 #f6b078 #f0934a",
    "dark": "#2966b8 #28589a #274777 #253853 #262c34 #483526 #664426 #875023 #9a561d",
}
_RAMP: dict[Theme, str] = {
    "light": "#eef0f4 #e7e6f4 #dfdbf4 #d7d0f3 #cfc5f2 #c7baf0 #bfaeee #b7a3eb #af97e8",
    "dark": "#22272e #292a3a #312d47 #393154 #413661 #493a6f #513f7d #59448b #614999",
}


def variables(theme: Theme) -> dict[str, str]:
    """A theme's colours by their names in the style sheet."""
    return page_colours(theme) | _shades(theme)


def _shades(theme: Theme) -> dict[str, str]:
    letters = (("t", _TILES), ("s", _RAMP))
    return {f"{letter}{shade}": colour for letter, of in letters for shade, colour in enumerate(of[theme].split())}


def stylesheet(theme: Theme | None = None) -> str:
    """The style sheet in one theme, for a file; without one, in both, for a page that follows its reader."""
    strokes = "".join(f".howfar .{shade} {{ stroke: var(--{shade}); }}\n" for shade in _shades("light"))
    css = asset("charts/spacing/spacing.css") + strokes
    if theme is not None:
        colours = variables(theme)
        return re.sub(r"var\(--(\w+)\)", lambda match: colours[match[1]], css)
    light, dark = (declared(variables(one)) for one in ("light", "dark"))
    always = "[data-jp-theme-light='{}'] .howfar, .{} .howfar, .howfar.{}"
    return (
        f".howfar {{ {light} }}\n@media (prefers-color-scheme: dark) {{ .howfar {{ {dark} }} }}\n"
        f"{always.format('true', 'light', 'light')} {{ {light} }}\n"
        f"{always.format('false', 'dark', 'dark')} {{ {dark} }}\n{css}"
    )

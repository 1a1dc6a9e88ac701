"""The charts' design: one Vega-Lite configuration in a light and a dark version.

Charts name styles and colour ranges, never colours, so a page can switch the version without a new chart.
Blue against orange, and a ramp that runs steadily from light to dark, are distinguishable in all common forms of
colour blindness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Theme = Literal["light", "dark"]

PAGE_WIDTH = 940  # pixels, of a chart as wide as the explorer's page

FONT = "Inter, 'Helvetica Neue', Arial, 'Liberation Sans', 'Noto Sans', 'Noto Sans CJK SC', sans-serif"

COLOURS: dict[Theme, dict[str, Any]] = {
    "light": {
        "background": "#ffffff",
        "ink": "#1c2128",
        "muted": "#5f6873",
        "thread": "#b3bcc7",
        "diverging": ["#0b3fae", "#3f78d0", "#565e69", "#c4691f", "#9c3400"],
        "heatmap": ["#0b3fae", "#8fb0e6", "#f3f5f8", "#eeb182", "#9c3400"],
        "ramp": ["#8796a8", "#5f82bd", "#5b5fb0", "#5a2a93", "#3b0764"],
        "category": ["#0b3fae", "#c4691f", "#68707b", "#5a2a93", "#00795a", "#b3126b"],
        "measures": ["#5a2a93", "#00795a", "#b3126b", "#68707b", "#7a6a00", "#0e6f86"],
    },
    "dark": {
        "background": "#14181d",
        "ink": "#e6e9ee",
        "muted": "#9aa4b0",
        "thread": "#48525e",
        "diverging": ["#5fb0ff", "#7fa9dc", "#949ba5", "#e0a06a", "#ff9440"],
        "heatmap": ["#7cc0ff", "#2c5c92", "#1b2027", "#8f5427", "#ffa45c"],
        "ramp": ["#6a7684", "#7b8bb8", "#a98fd0", "#e3a3b8", "#ffe3a0"],
        "category": ["#5fb0ff", "#ff9440", "#949ba5", "#c3a3ff", "#3fd0a0", "#ff86c0"],
        "measures": ["#c3a3ff", "#3fd0a0", "#ff86c0", "#949ba5", "#d9c85a", "#5fd0e6"],
    },
}
"""Colours by theme and purpose; also those of the web page around a chart."""


def page_colours(theme: Theme) -> dict[str, str]:
    """The colours of pages by their names in style sheets."""
    return {name: str(COLOURS[theme][name]) for name in ("background", "ink", "muted", "thread")}


def declared(colours: Mapping[str, str]) -> str:
    """Colours as declarations of CSS variables."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def config(theme: Theme) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme."""
    colours = COLOURS[theme]
    background, ink, muted = colours["background"], colours["ink"], colours["muted"]
    return {
        "background": background,
        "font": FONT,
        "padding": 16,
        "view": {"stroke": None},
        # Charts of measures leave blue and orange to "closer" and "farther".
        "range": {name: colours[name] for name in ("diverging", "heatmap", "ramp")} | {"category": colours["measures"]},
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 19,
            "fontWeight": 600,
            "offset": 16,
            "subtitleColor": muted,
            "subtitleFontSize": 13,
            "subtitleLineHeight": 18,
            "subtitlePadding": 8,
        },
        "legend": {
            "orient": "top",
            "titleColor": muted,
            "titleFontSize": 12,
            "titleFontWeight": 400,
            "titleLimit": 400,
            "offset": 2,
            "labelColor": muted,
            "labelFontSize": 12,
            "symbolOpacity": 1,
            "gradientLength": 240,
            "gradientThickness": 8,
        },
        "header": {"labelColor": ink, "labelFontSize": 12, "labelFontWeight": 600, "titleColor": muted},
        "mark": {"color": colours["measures"][0]},
        "rule": {"color": muted},
        "axis": {
            "labelColor": muted,
            "titleColor": muted,
            "titleFontWeight": 400,
            "gridColor": colours["thread"],
            "gridOpacity": 0.4,
            "tickColor": muted,
            "domainColor": muted,
        },
        "style": {
            "source": {"color": muted, "fontSize": 11, "lineHeight": 15, "align": "left", "baseline": "top"},
            "token": {"color": ink, "fontSize": 12, "baseline": "middle"},
        },
    }

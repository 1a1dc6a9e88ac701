"""The spacing picture: each character as far from the one before it as a layer steps.

`build` collects the data from a trace. `scales`, `colours` and `layout` determine length, shade and place of each
step, and `tiles` those of each of its tokens. `svg` writes the picture. In a page, `draw.js` does the same from the
same numbers, and `look.js` makes the picture interactive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from howfar.charts.rows import Scale
from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.colours import Colour
from howfar.charts.spacing.picture import SpacingPicture
from howfar.charts.spacing.scales import Rows
from howfar.charts.spacing.svg import View
from howfar.charts.theme import Theme
from howfar.errors import ConfigError

if TYPE_CHECKING:
    from howfar.reading import Trace

WIDTH = 1100
SMALLEST_WIDTH = 320


def spacing(
    trace: Trace,
    *,
    beside: Trace | None = None,
    scale: Scale = "layer-mean",
    colour: Colour | None = None,
    color: Colour | None = None,
    rows: Rows = "auto",
    layer: int | None = None,
    head: int | None = None,
    width: int = WIDTH,
    theme: Theme = "light",
) -> SpacingPicture:
    """Draw a text as its model spaces it.

    Each row is a layer. Each character has a tile as wide as the layer's step to it, so the tile's end is the
    character's position. The first row has plain positions, where every token advances by 1. A long text is
    wrapped into panels.

    Args:
        trace: A trace of the text.
        beside: The same text read by another model, or another text, aligned with the first.
        scale: `"layer-mean"`: each row divided by its mean increment. `"raw"`: positions as the model uses them.
            `"shared"`: all rows divided by one number, the mean increment of all layers. `"contrast"`: deviations from
            each row's mean stretched to the same spread.
        colour: By `"gap"` (the step over the average: blue is closer, orange farther), `"rank"` (of the step within
            its row), `"surprisal"` (of the character, in nats), `"entropy"` (of the prediction after it, in nats),
            `"kind"` (the step against the mean of its kind of character, in standard deviations) or `"difference"`
            (from the other trace's row of the same name). None for gap, or for difference if there are two traces with
            a row of the same name.
        color: Another spelling of `colour`.
        rows: `"auto"` folds nearly even rows into one; `"all"` shows each.
        layer: Show this layer alone; for a model with increments per head, one row per head.
        head: The head whose increments to show; None for the mean over heads.
        width: In pixels, in SVG, PNG and PDF files. A web page fits the reader's screen.
        theme: `"light"` or `"dark"`, in these files. A web page follows the reader's choice.

    Returns:
        A picture that displays itself in notebooks, and saves itself as HTML, SVG, PNG or PDF.

    Raises:
        ConfigError: A scale, colour, layer, head or theme does not exist, colours are given twice, or the width is too
            small.
        NotMeasurableError: The model's positions do not accumulate, or the scale would divide by 0 or less.
    """
    from howfar.reading import Trace

    if wrong := [given for given in (trace, beside) if given is not None and not isinstance(given, Trace)]:
        raise ConfigError(f"a trace is needed, but this is a {type(wrong[0]).__name__}; make one with howfar.trace")
    if colour is not None and color is not None:
        raise ConfigError(f"colour is {colour!r} and color is {color!r}, which mean the same; give one of them")
    colour = colour or color
    for name, got, known in (("colour", colour or "gap", Colour), ("theme", theme, Theme), ("rows", rows, Rows)):
        if got not in get_args(known):
            raise ConfigError(f"{name} is {got!r}; it must be one of {', '.join(get_args(known))}")
    if colour == "difference" and beside is None:
        raise ConfigError(
            "colour is 'difference', which needs a second trace; give one as beside (--beside-model or --beside-text)"
        )
    if width < SMALLEST_WIDTH:
        raise ConfigError(f"width is {width} pixels; it must be at least {SMALLEST_WIDTH}")
    content = content_of(trace, scale, beside=beside, layer=layer, head=head)
    has_difference = any(row.difference is not None for row in content.rows)
    if colour == "difference" and not has_difference:
        raise ConfigError(
            "colour is 'difference', but no row of one model has a counterpart in the other; show one layer (--layer), "
            "or choose another colour"
        )
    colour = colour or ("difference" if has_difference else "gap")
    return SpacingPicture(content, View(scale, colour, rows), width=width, theme=theme)


__all__ = ["SpacingPicture", "spacing"]

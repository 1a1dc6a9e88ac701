"""Where everything in a picture of spacing goes, in pixels: wrapping into panels, sizes, the threads between rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from howfar.charts.glyphs import width_in_ems
from howfar.charts.rows import Row

FONT_SIZE = 14.0
SMALLEST_FONT = 9.0  # glyphs that lack room shrink to this, then make way
GUTTER = 84.0  # for the rows' names,
NARROW_GUTTER = 64.0  # in a picture narrower than
NARROW = 500.0
MARGIN = 12.0
ROW_PITCH = 48.0
PANEL_SPACING = 30.0
GLYPH_HEIGHT = 9.0  # from a row's middle to where threads begin
BASELINE = 13.0  # from a row's middle to its ruler
RULER_HEIGHT = 3.5
MOST_CELLS = 500  # in a panel
_HUGE = 10.0  # times the median: gaps do not set the picture's scale beyond this
WIDEST_GAP = 0.4  # of the width: a wider gap is drawn so wide and marked as broken


@dataclass(frozen=True)
class Panel:
    """A stretch of the text that stands side by side."""

    first: int
    stop: int
    top: float


@dataclass(frozen=True)
class Layout:
    """A picture's geometry. Arrays are `[row, cell]`, in pixels, the origin at the top left.

    Attributes:
        width: Of the whole picture.
        height: Of the whole picture.
        panels: Top to bottom.
        x: Where each cell stands.
        x_before: Where its gap begins: where the cell before it stands, or the panel's beginning.
        x_glyph: The middle of its glyph: `x`, or as near to it as the glyphs beside it let it be.
        y: The middle of its glyph.
        font_size: Of its glyph.
        is_broken: Whether its gap is wider than drawn.
    """

    width: float
    height: float
    panels: list[Panel]
    x: NDArray[np.float64]
    x_before: NDArray[np.float64]
    x_glyph: NDArray[np.float64]
    y: NDArray[np.float64]
    font_size: NDArray[np.float64]
    is_broken: NDArray[np.bool_]


def lay_out(rows: Sequence[Row], labels: Sequence[str], width: float, *, right_to_left: bool = False) -> Layout:
    """Place every cell of every row.

    All panels and rows have the same number of pixels per step, so lengths can be compared anywhere in a picture.

    Args:
        rows: At least one, over the same cells.
        labels: What is drawn for each cell.
        width: Of the whole picture, in pixels.
        right_to_left: Let positions grow to the left, for scripts that are read so.
    """
    gaps = np.stack([row.gaps for row in rows])
    glyph_widths = FONT_SIZE * np.array([width_in_ems(label) for label in labels])
    gutter = NARROW_GUTTER if width < NARROW else GUTTER
    room = width - gutter - 2 * MARGIN
    pixels = _pixels_per_step(gaps, glyph_widths, room)
    drawn = np.clip(gaps * pixels, -WIDEST_GAP * room, WIDEST_GAP * room)
    ends = drawn.cumsum(axis=1)
    bounds = _wrap(ends, drawn, room, [label[-1] in "␣⏎" for label in labels])
    pitch = ROW_PITCH * len(rows) + PANEL_SPACING
    panels = [Panel(first, stop, index * pitch) for index, (first, stop) in enumerate(bounds)]
    x, y = np.empty_like(ends), np.empty_like(ends)
    for panel in panels:
        here = slice(panel.first, panel.stop)
        origin = ends[:, panel.first, None] - drawn[:, panel.first, None]
        offsets = ends[:, here] - origin
        x[:, here] = offsets - min(0.0, offsets.min())
        y[:, here] = panel.top + ROW_PITCH * (np.arange(len(rows))[:, None] + 0.5)
    font_size = _font_sizes(x, glyph_widths, panels)
    x_glyph = _make_way(x, glyph_widths * font_size / FONT_SIZE, room, panels)
    x_before = x - drawn
    broken = np.abs(gaps * pixels) > WIDEST_GAP * room
    x, x_before, x_glyph = (
        gutter + MARGIN + (room - places if right_to_left else places) for places in (x, x_before, x_glyph)
    )
    return Layout(width, pitch * len(panels), panels, x, x_before, x_glyph, y, font_size, broken)


def _pixels_per_step(gaps: NDArray[np.float64], glyph_widths: NDArray[np.float64], room: float) -> float:
    """Choose the scale so that most glyphs have the room they need, within bounds, and a short text fills its panel."""
    neighbours = (glyph_widths + np.roll(glyph_widths, 1)) / 2
    sizes = np.abs(gaps)
    mean_gap = max(float(np.minimum(sizes, _HUGE * np.median(sizes)).mean()), float(sizes.mean()) / 1000, 1e-9)
    comfortable = float(np.quantile(neighbours / np.maximum(sizes, mean_gap / 20), 0.7)) * 1.1
    typical = float(neighbours.mean()) / mean_gap
    pixels = min(max(comfortable, 1.5 * typical), 2.2 * typical)
    one_panel = room / max(float(sizes.sum(axis=1).max()), 1e-9)
    return min(one_panel, 2 * pixels) if one_panel > pixels / 1.2 else pixels


def _wrap(
    ends: NDArray[np.float64], drawn: NDArray[np.float64], room: float, is_pause: Sequence[bool]
) -> list[tuple[int, int]]:
    """Cut the cells into panels that fit, after whitespace where there is some in a panel's last sixth."""
    bounds: list[tuple[int, int]] = []
    origins = ends - drawn
    num_cells = ends.shape[1]
    first = 0
    while first < num_cells:
        offsets = ends[:, first : first + MOST_CELLS] - origins[:, first, None]
        low = np.minimum(np.minimum.accumulate(offsets, axis=1).min(axis=0), 0.0)
        high = np.maximum(np.maximum.accumulate(offsets, axis=1).max(axis=0), 0.0)
        fits = int(np.searchsorted(high - low, room + 1e-6, side="right"))
        stop = first + max(1, fits)
        if stop < num_cells:
            pauses = [cell for cell in range(stop - fits // 6, stop) if is_pause[cell]]
            stop = pauses[-1] + 1 if pauses else stop
        bounds.append((first, stop))
        first = stop
    return bounds


def _font_sizes(
    x: NDArray[np.float64], glyph_widths: NDArray[np.float64], panels: Sequence[Panel]
) -> NDArray[np.float64]:
    """Shrink glyphs that lack room beside their neighbours."""
    room = np.full((x.shape[0], x.shape[1] + 1), np.inf)  # between each cell and the one before it, over what they need
    room[:, 1:-1] = np.abs(np.diff(x, axis=1)) / ((glyph_widths[1:] + glyph_widths[:-1]) / 2)
    room[:, [panel.first for panel in panels]] = np.inf
    return np.clip(FONT_SIZE * np.minimum(room[:, 1:], room[:, :-1]), SMALLEST_FONT, FONT_SIZE)


def _make_way(
    x: NDArray[np.float64], glyph_widths: NDArray[np.float64], room: float, panels: Sequence[Panel]
) -> NDArray[np.float64]:
    """Move glyphs off their places where they would overlap: the least moves, in sum of squares, that keep their order.

    Where each glyph needs the widths of those before it, what is left of their places is to rise: isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    moved = x.copy()
    for panel in panels:
        here = slice(panel.first, panel.stop)
        for row in range(len(x)):
            order = np.argsort(x[row, here], kind="stable")
            widths = glyph_widths[row, here][order]
            needed = widths.cumsum() - widths / 2
            free = isotonic_regression(x[row, here][order] - needed).x
            moved[row, here][order] = np.clip(free, -MARGIN, max(-MARGIN, room + MARGIN - widths.sum())) + needed
    return moved

"""Layout of a spacing picture, in pixels: wrapping into panels, tiles, and the letters in them.

`draw.js` computes the same; a browser test compares them. Sums run from left to right in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from howfar.charts.spacing.geometry import (
    GUTTER,
    HUGE,
    MARGIN,
    MOST_BALANCED,
    MOST_CELLS,
    MOST_MEASURED,
    NARROW,
    PADDING,
    WIDEST_GAP,
)


@dataclass(frozen=True)
class Panel:
    """A stretch of the text on one line."""

    first: int
    stop: int


@dataclass(frozen=True, eq=False)
class Layout:
    """A picture's horizontal geometry. Arrays are float64 `[line, slot]`, in pixels, the origin at the left.

    Attributes:
        width: Width of the whole picture.
        scale: Pixels of an average step.
        panels: From top to bottom.
        before: Start of each tile: the end of the character before.
        end: End of each tile: the character's position.
        letters: Middle of its letters: the tile's middle, or as near to it as the neighbouring letters allow.
        is_broken: Whether a step is longer than drawn.
    """

    width: float
    scale: float
    panels: list[Panel]
    before: NDArray[np.float64]
    end: NDArray[np.float64]
    letters: NDArray[np.float64]
    is_broken: NDArray[np.bool_]


def lay_out(
    drawn: NDArray[np.float64],
    letter_widths: NDArray[np.float64],
    is_pause: Sequence[bool],
    width: float,
    *,
    right_to_left: bool = False,
    groups: Sequence[Sequence[int]] = (),
) -> Layout:
    """Place every tile of every line.

    All panels and lines have the same number of pixels per step, so lengths can be compared anywhere in a picture.

    Args:
        drawn: float64 `[line, slot]`: drawn length of each step; 1 is an average one.
        letter_widths: float64 `[line, slot]`: width of each tile's letters, in pixels; 0 if there are none.
        is_pause: By slot, whether a panel should preferably end after it.
        width: Width of the whole picture, in pixels.
        right_to_left: Whether positions grow to the left, for right-to-left scripts.
        groups: Lines whose letters must fit in each group, where some hold letters and others words; all by default.
    """
    left = MARGIN if width < NARROW else GUTTER
    room = width - left - MARGIN
    pixels = _pixels_per_step(drawn, letter_widths, room, groups)
    lengths = np.clip(drawn * pixels, -WIDEST_GAP * room, WIDEST_GAP * room)
    ends = lengths.cumsum(axis=1)
    panels = _balanced(ends, ends - lengths, room, is_pause)
    end, letters = np.empty_like(ends), np.empty_like(ends)
    for panel in panels:
        here = slice(panel.first, panel.stop)
        offsets = ends[:, here] - (ends[:, panel.first, None] - lengths[:, panel.first, None])
        end[:, here] = offsets - min(0.0, float(offsets.min()))
        for line in range(len(end)):
            middles = end[line, here] - lengths[line, here] / 2
            letters[line, here] = make_way(middles, letter_widths[line, here], room)
    places = [end - lengths, end, letters]
    before, end, letters = (left + (room - place if right_to_left else place) for place in places)
    return Layout(width, pixels, panels, before, end, letters, np.abs(drawn * pixels) > WIDEST_GAP * room)


def _pixels_per_step(
    drawn: NDArray[np.float64], letter_widths: NDArray[np.float64], room: float, groups: Sequence[Sequence[int]]
) -> float:
    """Choose a scale at which most letters of each group fit, within bounds; a short text fills its panel."""
    pixels = [_legible(drawn[group], letter_widths[group]) for group in map(list, groups or [range(len(drawn))])]
    if not any(pixels):
        return 1.0
    one_panel = room / max(float(np.abs(drawn).sum(axis=1).max()), 1e-9)
    return min(one_panel, 2 * max(pixels)) if one_panel > max(pixels) / 1.25 else max(pixels)


def _legible(drawn: NDArray[np.float64], letter_widths: NDArray[np.float64]) -> float:
    """Pixels per step at which most letters fit, within bounds; 0 for no steps."""
    sizes, needed = np.abs(drawn[:, :MOST_MEASURED]).ravel(), letter_widths[:, :MOST_MEASURED].ravel() + PADDING
    sizes, needed = sizes[sizes > 0], needed[sizes > 0]
    if not len(sizes):
        return 0.0
    mean = float(np.minimum(sizes, HUGE * np.sort(sizes)[len(sizes) // 2]).sum()) / len(sizes)
    wanted = np.sort(needed / np.maximum(sizes, mean / 20))[int(0.75 * (len(sizes) - 1))]
    typical = float(needed.sum()) / len(needed) / mean
    return min(max(float(wanted), 1.2 * typical), 2 * typical)


def _balanced(
    ends: NDArray[np.float64], begins: NDArray[np.float64], room: float, is_pause: Sequence[bool]
) -> list[Panel]:
    """Cut the slots into as few panels as fit; if they are few, the last is not much shorter than the others."""
    panels = _wrap(ends, begins, room, is_pause)
    for share in (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6) if 1 < len(panels) <= MOST_BALANCED else ():
        narrower = _wrap(ends, begins, room * share, is_pause)
        if len(narrower) != len(panels):
            break
        panels = narrower
    return panels


def _wrap(ends: NDArray[np.float64], begins: NDArray[np.float64], room: float, is_pause: Sequence[bool]) -> list[Panel]:
    """Cut the slots into panels that fit, preferably after whitespace."""
    panels: list[Panel] = []
    num_slots = ends.shape[1]
    first = 0
    while first < num_slots:
        offsets = ends[:, first : first + MOST_CELLS] - begins[:, first, None]
        low = np.minimum(np.minimum.accumulate(offsets, axis=1).min(axis=0), 0.0)
        high = np.maximum(np.maximum.accumulate(offsets, axis=1).max(axis=0), 0.0)
        fits = int(np.searchsorted(high - low, room + 1e-6, side="right"))
        stop = first + max(1, fits)
        stop = after_pause(first, stop, is_pause)
        panels.append(Panel(first, stop))
        first = stop
    return panels


def after_pause(first: int, stop: int, is_pause: Sequence[bool]) -> int:
    """Where a panel or line of these slots should end: after a pause if its last sixth has one, and text follows."""
    if stop == len(is_pause):
        return stop
    pauses = [slot for slot in range(stop - (stop - first) // 6, stop) if is_pause[slot]]
    return pauses[-1] + 1 if pauses else stop


def make_way(middles: NDArray[np.float64], widths: NDArray[np.float64], room: float) -> NDArray[np.float64]:
    """Move letters off their tiles' middles where they would overlap, as little as their order and the picture allow.

    After subtracting the widths of the letters before it, each letter's place must not fall: isotonic regression, by
    pooling neighbours that violate this.

    Source:
        Ayer et al., "An Empirical Distribution Function for Sampling with Incomplete Information" (1955).
    """
    order = [slot for slot in np.argsort(middles, kind="stable").tolist() if widths[slot] > 0]
    needed = widths[order].cumsum() - widths[order] / 2
    blocks: list[tuple[float, int]] = []  # sum and number of pooled values
    for place in (middles[order] - needed).tolist():
        total, count = place, 1
        while blocks and blocks[-1][0] * count > total * blocks[-1][1]:
            before, number = blocks.pop()
            total, count = before + total, number + count
        blocks.append((total, count))
    free = np.repeat([total / count for total, count in blocks], [count for _, count in blocks])
    last = room + MARGIN - float(widths[order].sum())
    moved = middles.copy()
    moved[order] = np.clip(free, -MARGIN, max(-MARGIN, last)) + needed
    return moved

"""All of a long text at a glance: one strip per row."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from howfar.charts.spacing import geometry
from howfar.charts.spacing.colours import SHADES
from howfar.charts.spacing.elements import number, stroke
from howfar.charts.spacing.key import key_height

if TYPE_CHECKING:
    from howfar.charts.spacing.svg import Drawing

_STRIP_HEIGHT = 7.0
_BELOW = 24.0


def overview_height(drawing: Drawing) -> float:
    """Height of the overview; 0 for a short text."""
    if len(drawing.layout.panels) < geometry.OVERVIEW_FROM:
        return 0.0
    return geometry.OVERVIEW_PITCH * len(drawing.lines) + _BELOW


def overview(drawing: Drawing) -> str:
    """Mean shades of the text from start to end, one strip per row."""
    if not overview_height(drawing):
        return ""
    left = geometry.MARGIN if drawing.is_narrow else geometry.GUTTER
    num_bins = int((drawing.width - left - geometry.MARGIN) / geometry.STRIP)
    starts = left + np.arange(num_bins) * geometry.STRIP
    if drawing.content.right_to_left:
        starts = drawing.width - geometry.MARGIN - (np.arange(num_bins) + 1) * geometry.STRIP
    edges = np.arange(num_bins + 1) * len(drawing.content) // num_bins
    counts = np.diff(edges)
    parts = []
    for index, line in enumerate(drawing.lines):
        sums = np.concatenate([[0], np.cumsum(drawing.shades.of[index])])
        means = np.floor((sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(counts, 1) + 0.5)
        middle = key_height(drawing) + geometry.OVERVIEW_PITCH * (index + 0.5)
        for shade in range(SHADES):
            marks = [(start, geometry.STRIP) for start in starts[(means == shade) & (counts > 0)].tolist()]
            parts.append(stroke(drawing.shades.name(shade), _STRIP_HEIGHT, marks, middle))
        if not drawing.is_narrow:
            parts.append(
                f'<text class="strip" x="{number(left - 6)}" y="{number(middle + 3)}">{escape(line.name)}</text>'
            )
    return f'<g class="overview">{"".join(parts)}</g>'

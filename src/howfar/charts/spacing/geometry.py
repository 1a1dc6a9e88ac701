"""Lengths and limits of the picture, in pixels unless said otherwise; a page's script reads the same file."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

GEOMETRY: dict[str, Any] = json.loads(
    resources.files("howfar.charts.spacing").joinpath("geometry.json").read_text(encoding="utf-8")
)

FONT_SIZE: float = GEOMETRY["fontSize"]
TILE_HEIGHT: float = GEOMETRY["tileHeight"]
THIN_TILE_HEIGHT: float = GEOMETRY["thinTileHeight"]  # of folded rows
TILE_GAP: float = GEOMETRY["tileGap"]  # left white between tiles
PADDING: float = GEOMETRY["padding"]  # of a letter in a comfortable tile, both sides together
MARGIN: float = GEOMETRY["margin"]
GUTTER: float = GEOMETRY["gutter"]  # for the rows' names; in a picture narrower than
NARROW: float = GEOMETRY["narrow"]  # they stand above their rows, in
ROOMY: float = GEOMETRY["roomy"]  # from here on the key has room for its longer sentences
HEAD_HEIGHT: float = GEOMETRY["headHeight"]
ROW_PITCH: float = GEOMETRY["rowPitch"]
THIN_PITCH: float = GEOMETRY["thinPitch"]
PANEL_SPACING: float = GEOMETRY["panelSpacing"]
KEY_HEIGHT: float = GEOMETRY["keyHeight"]
KEY_HEIGHT_NARROW: float = GEOMETRY["keyHeightNarrow"]
OVERVIEW_PITCH: float = GEOMETRY["overviewPitch"]
OVERVIEW_FROM: int = GEOMETRY["overviewFrom"]  # panels: a picture of more begins with all of its text in strips
MOST_CELLS: int = GEOMETRY["mostCells"]  # in a panel
MOST_BALANCED: int = GEOMETRY["mostBalanced"]  # panels that are made equally long
MOST_MEASURED: int = GEOMETRY["mostMeasured"]  # slots that set the picture's scale
HUGE: float = GEOMETRY["huge"]  # times the median: steps do not set the picture's scale beyond this
WIDEST_GAP: float = GEOMETRY["widestGap"]  # share of the width: a longer step is drawn so wide and its length written
EVEN: float = GEOMETRY["even"]  # spread, as a share of the average step, below which a row is nearly even
CONTRAST_SPREAD: float = GEOMETRY["contrastSpread"]  # to which contrast stretches each row
CONTRAST_LEAST: float = GEOMETRY["contrastLeast"]  # of an average step: contrast draws none shorter

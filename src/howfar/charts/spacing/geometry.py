"""Lengths and limits of the picture, in pixels unless said otherwise; a page's script reads the same file."""

from __future__ import annotations

import json
from typing import Any

from howfar.charts.assets import asset

GEOMETRY: dict[str, Any] = json.loads(asset("charts/spacing/geometry.json"))

FONT_SIZE: float = GEOMETRY["fontSize"]
TILE_HEIGHT: float = GEOMETRY["tileHeight"]
THIN_TILE_HEIGHT: float = GEOMETRY["thinTileHeight"]  # in folded rows
TILE_GAP: float = GEOMETRY["tileGap"]  # blank space between tiles
ROOM_FOR_DOT: float = GEOMETRY["roomForDot"]  # least length of a space's tile that has a dot
DIVIDED_GAP: float = GEOMETRY["dividedGap"]  # and between those that show several tokens
PADDING: float = GEOMETRY["padding"]  # around a letter in a tile, both sides together
MARGIN: float = GEOMETRY["margin"]
GUTTER: float = GEOMETRY["gutter"]  # for the rows' names; in a picture narrower than
NARROW: float = GEOMETRY["narrow"]  # this, the names are above their rows, in
ROOMY: float = GEOMETRY["roomy"]  # from here on the key has room for its longer sentences
HEAD_HEIGHT: float = GEOMETRY["headHeight"]
ROW_PITCH: float = GEOMETRY["rowPitch"]
THIN_PITCH: float = GEOMETRY["thinPitch"]
PANEL_SPACING: float = GEOMETRY["panelSpacing"]
KEY_HEIGHT: float = GEOMETRY["keyHeight"]
KEY_HEIGHT_NARROW: float = GEOMETRY["keyHeightNarrow"]
KEY_SHARE: float = GEOMETRY["keyShare"]  # of the width: the most that the key's tiles take beside its text
OVERVIEW_PITCH: float = GEOMETRY["overviewPitch"]
OVERVIEW_FROM: int = GEOMETRY["overviewFrom"]  # panels: above this, a picture begins with an overview
MOST_CELLS: int = GEOMETRY["mostCells"]  # in a panel
MOST_BALANCED: int = GEOMETRY["mostBalanced"]  # panels that are made equally long
MOST_MEASURED: int = GEOMETRY["mostMeasured"]  # slots that set the picture's scale
HUGE: float = GEOMETRY["huge"]  # times the median: longer steps do not affect the picture's scale
WIDEST_GAP: float = GEOMETRY["widestGap"]  # share of the width: longer steps are cut to it and labelled
EVEN: float = GEOMETRY["even"]  # spread, as a share of the average step, below which a row is nearly even
CONTRAST_SPREAD: float = GEOMETRY["contrastSpread"]  # the spread to which contrast stretches each row
CONTRAST_LEAST: float = GEOMETRY["contrastLeast"]  # of an average step: contrast draws no shorter one

"""Lengths and limits of the picture, in pixels unless said otherwise; a page's script receives them as `GEOMETRY`."""

from __future__ import annotations

FONT_SIZE = 14.0
TILE_HEIGHT = 24.0
THIN_TILE_HEIGHT = 8.0  # in folded rows
TILE_GAP = 0.8  # blank space between tiles
DIVIDED_GAP = 2.0  # and between those that show several tokens
ROOM_FOR_DOT = 6.0  # least length of a space's tile that has a dot
PADDING = 3.0  # around a letter in a tile, both sides together
MARGIN = 12.0
GUTTER = 172.0  # for the rows' names; in a picture narrower than
NARROW = 560.0  # this, the names are above their rows, in
HEAD_HEIGHT = 16.0
ROOMY = 880.0  # from here on the key has room for its longer sentences
ROW_PITCH = 40.0
THIN_PITCH = 26.0
PANEL_SPACING = 22.0
BINS = 16  # of a row's histogram, from a quarter to four times an average step
BIN_WIDTH = 2.5
BIN_HEIGHT = 14.0
KEY_HEIGHT = 66.0
KEY_HEIGHT_NARROW = 150.0
KEY_SHARE = 0.25  # of the width: the most that the key's tiles take beside its text
SWATCH = 13.0  # width of a shade in the legend
OVERVIEW_PITCH = 9.0
OVERVIEW_FROM = 6  # panels: above this, a picture begins with an overview
STRIP = 3.0  # of the overview: its values are averaged
MOST_CELLS = 500  # in a panel
MOST_BALANCED = 12  # panels that are made equally long
MOST_MEASURED = 2000  # slots that set the picture's scale
HUGE = 10.0  # times the median: longer steps do not affect the picture's scale
WIDEST_GAP = 0.4  # share of the width: longer steps are cut to it and labelled
EVEN = 0.05  # spread, as a share of the average step, below which a row is nearly even
CONTRAST_SPREAD = 0.33  # the spread to which contrast stretches each row
CONTRAST_LEAST = 0.3  # of an average step: contrast draws no shorter one


def _camel(name: str) -> str:
    first, *others = name.lower().split("_")
    return first + "".join(map(str.capitalize, others))


GEOMETRY: dict[str, float] = {_camel(name): value for name, value in list(globals().items()) if name.isupper()}

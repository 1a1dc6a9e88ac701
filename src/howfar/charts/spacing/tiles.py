"""A character's tile: one mark, or a mark for each of its tokens where colours show steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.charts.spacing import geometry
from howfar.charts.spacing.colours import SHADES, shades_of_steps
from howfar.charts.spacing.elements import number, stroke
from howfar.charts.spacing.scales import stretched

if TYPE_CHECKING:
    from howfar.charts.spacing.svg import Drawing

Place = tuple[int, float, float]
"""A slot, and where its tile lies: the left end and the length, in pixels."""


def is_divided(drawing: Drawing) -> bool:
    """Whether some tile of a picture shows several tokens."""
    rows = (drawing.content.rows[line.rows[0]] for line in drawing.lines if not line.is_folded)
    return drawing.view.colour == "gap" and any(row.parts for row in rows)


def tiles(drawing: Drawing, index: int, places: Iterable[Place], middle: float) -> str:
    """Tiles of a row, one path a shade, with the vertical middle of their marks, in pixels."""
    marks: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for slot, left, length in places:
        pieces = _pieces(drawing, index, slot)
        gap = geometry.TILE_GAP if len(pieces) == 1 else geometry.DIVIDED_GAP
        start, room = left + gap / 2, max(length - gap, 0.3)
        for shade, begin, end in pieces:
            marks[shade].append((start + begin * room, (end - begin) * room))
    height = geometry.THIN_TILE_HEIGHT if drawing.lines[index].is_folded else geometry.TILE_HEIGHT
    return "".join(stroke(drawing.shades.name(shade), height, marks[shade], middle) for shade in range(SHADES))


def spaces(labels: Sequence[str], places: Iterable[Place], middle: float) -> str:
    """A dot in the tile of each space, which would be blank, where letters leave room for it."""
    dots = "".join(
        f"M{number(left + length / 2)} {number(middle)}h0"
        for slot, left, length in places
        if labels[slot] == " " and length >= geometry.ROOM_FOR_DOT
    )
    return f'<path class="spaces" d="{dots}"/>' if dots else ""


def _pieces(drawing: Drawing, index: int, slot: int) -> list[tuple[int, float, float]]:
    """Shade, begin and end of each mark of a tile, from left to right, as shares of its length."""
    steps = _steps(drawing, index, slot)
    if steps is None:
        return [(int(drawing.shades.of[index, slot]), 0.0, 1.0)]
    places = steps.cumsum()
    shades, ends = shades_of_steps(steps), (places / places[-1]).tolist()
    pieces: list[tuple[int, float, float]] = []
    for shade, begin, end in zip(shades, [0.0, *ends[:-1]], ends, strict=True):
        if pieces and pieces[-1][0] == shade:
            begin = pieces.pop()[1]
        pieces.append((shade, begin, end))
    if drawing.content.right_to_left:
        return [(shade, 1 - end, 1 - begin) for shade, begin, end in reversed(pieces)]
    return pieces


def _steps(drawing: Drawing, index: int, slot: int) -> NDArray[np.float64] | None:
    """Drawn steps of a tile's tokens; None where it is one mark."""
    line = drawing.lines[index]
    parts = drawing.content.rows[line.rows[0]].parts.get(slot)
    num_tokens = int(drawing.text_of(line).tokens[slot])
    if parts is None or line.is_folded or drawing.view.colour != "gap" or len(parts) != num_tokens or min(parts) <= 0:
        return None
    steps = np.array(parts) / sum(parts) * num_tokens * line.ratio[slot]
    if line.stretch != 1:
        steps = stretched(steps, line.stretch)
    return steps / steps.cumsum()[-1] * line.drawn[slot]

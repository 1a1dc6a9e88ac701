"""What is said about a picture of spacing: its caption, and its description for those who do not see it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import PurePath
from textwrap import wrap
from typing import Any

import numpy as np

from howfar.charts.glyphs import visible
from howfar.charts.rows import SCALES, Cells, Row, Scale

_TITLE_CHARACTER = 9.8  # pixels that a character takes on average
_SUBTITLE_CHARACTER = 6.3
_MOST_QUOTED = 60


def caption(cells: Cells, scale: Scale, layer: int | None, head: int | None, width: float) -> dict[str, Any]:
    """The title, and what is needed to read the picture, wrapped to its width; as Vega-Lite has it."""
    trace = cells.trace
    per_head = trace.increments.shape[1] > 1
    rows_are_heads = per_head and layer is not None and head is None
    of_layer = "" if layer is None else f", layer {layer}"
    of_head = f", head {head}" if per_head and head is not None else ", mean over heads" if per_head else ""
    title = (
        f"How far apart {model_label(trace.model_name)} thinks these {cells.noun}s are"
        f"{of_layer}{'' if rows_are_heads else of_head}"
    )
    sums = f", the sum of its {cells.token_noun}s' increments" if cells.noun != cells.token_noun else ""
    backwards = " Positions grow from right to left." if reads_right_to_left(trace.text) else ""
    sentences = (
        f"Each row is a {'head' if rows_are_heads else 'layer'}; the first one has plain positions, where every "
        f"{cells.token_noun} counts 1. The ruler under a {cells.noun} reaches back to the one before it: its length is "
        f"the gap{sums}. Where there is no room, {cells.noun}s make way; rulers are exact. Threads join each "
        f"{cells.noun} through the rows.{backwards}",
        f"Scale {scale}: {SCALES[scale]}.",
    )
    return {
        "text": wrap(title, int(width / _TITLE_CHARACTER)),
        "subtitle": [line for sentence in sentences for line in wrap(sentence, int(width / _SUBTITLE_CHARACTER))],
    }


def describe(cells: Cells, rows: Sequence[Row], scale: Scale) -> str:
    """Say what is to be seen: of each row but the plain one, its mean and its widest and narrowest gaps."""
    text = cells.trace.text
    quoted = text if len(text) <= _MOST_QUOTED else f"{text[: _MOST_QUOTED - 1]}…"
    said = [
        f"{len(cells):,} {cells.noun}s, {quoted!r}, as {model_label(cells.trace.model_name)} spaces them, in "
        f"{len(rows) - 1} rows below one of plain positions. Scale {scale}: {SCALES[scale]}."
    ]
    for row in rows[1:]:
        widest, narrowest = int(np.argmax(row.gaps)), int(np.argmin(row.gaps))
        said.append(
            f"{row.name}, {row.note}: gaps from {row.gaps[narrowest]:.2f} (before {cells.labels[narrowest]}) "
            f"to {row.gaps[widest]:.2f} (before {cells.labels[widest]})."
        )
    return " ".join(said)


def model_label(name: str) -> str:
    """A model's name as it is drawn: of a path or a Hub id, its last part."""
    return visible(PurePath(name).name)


def reads_right_to_left(text: str) -> bool:
    """Whether the first character with a direction is read from right to left."""
    directions = (unicodedata.bidirectional(character) for character in text)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"

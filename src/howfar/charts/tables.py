"""The tables behind a picture of spacing, as its marks and its web page read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from howfar.charts.glyphs import width_in_ems
from howfar.charts.layout import FONT_SIZE, Layout, Panel
from howfar.charts.rows import Cells, Row

Datasets = dict[str, list[dict[str, Any]]]
"""Named tables, row by row; of `steps`, which is long, one row of columns, for Vega to flatten."""

_MOST_LISTED = 12  # increments of one cell that are listed one by one


def datasets(
    cells: Cells, rows: Sequence[Row], layout: Layout, panels: Sequence[Panel], *, origin: float = 0.0
) -> Datasets:
    """The tables `steps` (each cell in each row), `cells` and `rows` of some of a picture's panels.

    Args:
        cells: The text.
        rows: What was laid out.
        layout: How it was laid out.
        panels: Which of the layout's panels.
        origin: What is taken from every y, in pixels.
    """
    steps = [_step_columns(cells, rows, layout, panel, origin) for panel in panels]
    return {
        "steps": [{name: [value for columns in steps for value in columns[name]] for name in steps[0]}],
        "cells": [record for panel in panels for record in _cell_records(cells, panel)],
        "rows": [
            {"name": row.name, "note": _note(row, panel, index), "y": round(float(y) - origin, 1)}
            for panel in panels
            for index, (row, y) in enumerate(zip(rows, layout.y[:, panel.first], strict=True))
        ],
    }


def _note(row: Row, panel: Panel, index: int) -> str:
    """What stands beside a row; beside the first one of a later panel, where in the text the panel begins."""
    return row.note if index or not panel.first else f"from no. {panel.first + 1:,}"


def _step_columns(
    cells: Cells, rows: Sequence[Row], layout: Layout, panel: Panel, origin: float
) -> dict[str, list[Any]]:
    """Each cell in each row: its numbers and its place; one row of the picture after the other."""
    here = slice(panel.first, panel.stop)
    x, before, glyph = layout.x[:, here], layout.x_before[:, here], layout.x_glyph[:, here]
    middles = (x[:, 1:] + x[:, :-1]) / 2
    past_end = x[:, -1:] + (x - before)[:, -1:].clip(-8, 8)
    return {
        "cell": list(range(panel.first, panel.stop)) * len(rows),
        "row": [row.name for row in rows for _ in range(x.shape[1])],
        "gap": _rounded(np.stack([row.gaps[here] for row in rows]), 3),
        "position": _rounded(np.stack([row.positions[here] for row in rows]), 2),
        "increments": [listed for row in rows for listed in _listed(cells, row, panel)],
        "size": _rounded(layout.font_size[:, here], 1),
        "broken": layout.is_broken[:, here].ravel().tolist(),
        "x": _rounded(x, 1),
        "y": _rounded(layout.y[:, here] - origin, 1),
        "before": _rounded(before, 1),
        "left": _rounded(np.concatenate([before[:, :1], middles], axis=1), 1),
        "right": _rounded(np.concatenate([middles, past_end], axis=1), 1),
        "glyph": _rounded(glyph, 1),
        "glyph_below": _rounded(glyph[1:], 1) + [None] * glyph.shape[1],
    }


def _cell_records(cells: Cells, panel: Panel) -> list[dict[str, Any]]:
    """What is true of a cell in every row."""
    return [
        {
            "cell": cell,
            "label": cells.labels[cell],
            "width": round(FONT_SIZE * width_in_ems(cells.labels[cell]), 1),
            "character": _readable(cells.texts[cell], cells.labels[cell]),
            "bytes": cells.texts[cell].encode().hex(" ").upper(),
            "tokens": int(cells.num_tokens[cell]),
            "surprisal": round(float(cells.surprisal_nats[cell]), 3),
            "entropy": round(float(cells.entropy_nats[cell]), 3),
        }
        for cell in range(panel.first, panel.stop)
    ]


def _listed(cells: Cells, row: Row, panel: Panel) -> list[str]:
    """The increments that make up each gap, as text."""
    texts = []
    for start, end in cells.token_spans()[panel.first : panel.stop]:
        shown = [f"{increment:.3g}" for increment in row.increments[start : min(end, start + _MOST_LISTED)].tolist()]
        texts.append(" + ".join(shown) + (" + …" if end - start > _MOST_LISTED else ""))
    return texts


def _readable(text: str, label: str) -> str:
    """A cell's characters, with their code points where few enough to be read."""
    points = " ".join(f"U+{ord(character):04X}" for character in text)
    return f"{label}  {points}" if len(text) <= 4 and label != points else label


def _rounded(values: NDArray[Any], digits: int) -> list[Any]:
    return np.round(values.ravel().astype(np.float64), digits).tolist()

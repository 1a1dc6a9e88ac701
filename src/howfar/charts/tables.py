"""The tables behind a picture of spacing, column by column, as its marks and its web page read them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from howfar.charts.glyphs import width_in_ems
from howfar.charts.layout import FONT_SIZE, Layout, Panel
from howfar.charts.rows import Cells, Row

Table = Mapping[str, list[Any]]
"""Columns of equal length."""

_MOST_LISTED = 12  # increments of one cell that are listed one by one


def to_csv(table: Table) -> str:
    """Write a table as CSV: much shorter than JSON row by row, and nothing that Altair would check value by value."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def column_types(table: Table) -> dict[str, Any]:
    """How Vega is to read the columns of a table's CSV."""
    types = {bool: "boolean", int: "number", float: "number", str: "string"}
    return {name: types[type(values[0])] for name, values in table.items()}


def picture_tables(
    cells: Cells, rows: Sequence[Row], layout: Layout, panels: Sequence[Panel], *, origin: float = 0.0
) -> dict[str, Table]:
    """The tables `steps`, `cells` and `rows` of some of a picture's panels.

    Args:
        cells: The text.
        rows: What was laid out.
        layout: How it was laid out.
        panels: Which of the layout's panels.
        origin: What is taken from every y, in pixels.
    """
    parts = [
        {
            "steps": _step_table(cells, rows, layout, panel, origin),
            "cells": _cell_table(cells, panel),
            "rows": _row_table(rows, layout, panel, origin),
        }
        for panel in panels
    ]
    return {
        name: {column: [value for part in parts for value in part[name][column]] for column in table}
        for name, table in parts[0].items()
    }


def _step_table(cells: Cells, rows: Sequence[Row], layout: Layout, panel: Panel, origin: float) -> Table:
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
        "glyph_below": _rounded(np.concatenate([glyph[1:], np.full((1, glyph.shape[1]), np.nan)]), 1),
    }


def _cell_table(cells: Cells, panel: Panel) -> Table:
    """What is true of a cell in every row."""
    here = slice(panel.first, panel.stop)
    return {
        "cell": list(range(panel.first, panel.stop)),
        "label": cells.labels[here],
        "character": [_readable(text, label) for text, label in zip(cells.texts[here], cells.labels[here], strict=True)],
        "width": [round(FONT_SIZE * width_in_ems(label), 1) for label in cells.labels[here]],
        "bytes": [text.encode().hex(" ").upper() for text in cells.texts[here]],
        "tokens": cells.num_tokens[here].tolist(),
        "surprisal": _rounded(cells.surprisal_nats[here], 3),
        "entropy": _rounded(cells.entropy_nats[here], 3),
    }


def _row_table(rows: Sequence[Row], layout: Layout, panel: Panel, origin: float) -> Table:
    """The names beside the rows."""
    return {
        "name": [row.name for row in rows],
        "note": [row.note for row in rows],
        "y": _rounded(layout.y[:, panel.first] - origin, 1),
    }


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


def _rounded(values: NDArray[Any], digits: int) -> list[float]:
    """Flat and short; nan where there is nothing."""
    return [float(value) for value in np.round(values.astype(np.float64).ravel(), digits)]

"""A measure's values as one matrix that fits a terminal and a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from howfar.charts.glyphs import counted
from howfar.charts.text_tables import cell_in_words, estimate, in_words, with_numbers

if TYPE_CHECKING:
    from howfar.measures.declaration import Matrix

MOST_NAMED = 4
"""Number of left-out rows or columns that are named individually."""
MOST_BLOCKS = 2
"""Number of blocks of columns, one below the other."""
NAME_WIDTH = 32
"""Width of the rows' names, in characters; longer ones are broken over lines."""
EVERYTHING = "all"
"""Names of a row or column that covers all layers or heads."""
SPACE = 2
"""Space between columns, in characters."""


@dataclass(frozen=True)
class Grid:
    """A matrix of text.

    Attributes:
        blocks: Blocks of columns, one below the other: the headings (the first is for the rows' names)
            and the rows.
        remarks: Values that are the same everywhere, what was left out, and the width of intervals that did not fit.
    """

    blocks: list[tuple[list[str], list[list[str]]]]
    remarks: list[str]


def grid(table: pl.DataFrame, matrix: Matrix, *, most_rows: int, width: int) -> Grid:
    """Lay out a measure's values.

    There are at most `MOST_BLOCKS`. Intervals are shown if they fit; else only the widest is given, and columns that
    still do not fit are left out.

    Args:
        table: A measure's table, with the columns `value`, `low` and `high`.
        matrix: Defines its rows and columns.
        most_rows: The most rows.
        width: Width of the terminal, in characters.
    """
    table = with_numbers(table, ["value"])
    names = [name for name in (*matrix.rows, *matrix.columns) if name in table.columns]
    same = [name for name in names if _is_same(table[name])]
    keys = [[name for name in side if name in names and name not in same] for side in (matrix.rows, matrix.columns)]
    cells: dict[tuple[str, str], str] = {}
    for row in table.iter_rows(named=True):
        cells.setdefault((_name(row, keys[0]), _name(row, keys[1])), estimate(row["value"], row["low"], row["high"]))
    rows, columns = (list(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    columns.sort(key=lambda column: column != EVERYTHING)  # otherwise in their order
    kept, left_out = rows[:most_rows], rows[most_rows:]
    alike = {name: table[name].drop_nulls().to_list() for name in same}
    remarks = [", ".join(f"{_heading(name)} {in_words(values[0])}" for name, values in alike.items() if values)]
    if hidden := len(table) - len(cells):
        remarks.append(f"left out {counted(hidden, 'value')} with the same row and column as another; --csv prints all")
    parts = _parts(kept, columns, cells, width)
    if len(parts) > MOST_BLOCKS:
        value, low, high = map(pl.col, ("value", "low", "high"))
        halves = table.select(half=pl.max_horizontal(value - low, high - value)).drop_nulls()["half"]
        widest = max(halves.to_list(), default=0.0)
        remarks.append(f"95% intervals are at most ±{widest:.2g}; --csv prints them")
        cells = {key: text.split(" ±")[0] for key, text in cells.items()}
        parts = _parts(kept, columns, cells, width)[:MOST_BLOCKS]
    columns_left = columns[sum(map(len, parts)) :]
    remarks += [_left_out(left, what) for left, what in ((left_out, "row"), (columns_left, "column")) if left]
    blocks = []
    for part in parts:
        lines = [[row, *(cells.get((row, column), "") for column in part)] for row in kept]
        blocks.append((["", *part], [line for line in lines if any(line[1:])]))
    return Grid(blocks, [remark for remark in remarks if remark])


def _is_same(column: pl.Series) -> bool:
    """Whether a column has one value, where null is a value too, except that a single head needs no name."""
    return (column.drop_nulls() if column.name == "head" else column).n_unique() <= 1


def _name(row: dict[str, Any], keys: Sequence[str]) -> str:
    """The name of a row or a column; a number, or yes and no, are preceded by the name of their column."""
    words = {key: cell_in_words(row, key).replace("_", " ") for key in keys if row[key] is not None}
    said = (word if isinstance(row[key], str) else f"{_heading(key)} {word}" for key, word in words.items())
    return ", ".join(said) or EVERYTHING


def _heading(name: str) -> str:
    return name.replace("num_", "").replace("_", " ")


def _parts(
    rows: Sequence[str], columns: Sequence[str], cells: dict[tuple[str, str], str], width: int
) -> list[list[str]]:
    """The columns, split into parts that fit beside the rows' names; at least one column in each."""
    room = width - min(NAME_WIDTH, max((len(row) for row in rows), default=0))
    parts: list[list[str]] = []
    left = 0
    for column in columns:
        needed = SPACE + max(len(column), *(len(cells.get((row, column), "")) for row in rows))
        if not parts or needed > left:
            parts.append([])
            left = room
        parts[-1].append(column)
        left -= needed
    return parts


def _left_out(names: Sequence[str], what: str) -> str:
    listed = "; ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    return f"left out {counted(len(names), what)}: {listed}; --csv prints all"

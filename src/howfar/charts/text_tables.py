"""Tables of measures for readers: few digits, intervals as ±, omissions named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from howfar.charts.glyphs import in_line
from howfar.text.classes import class_in_words

FEWEST_DECIMALS, MOST_DECIMALS = 0, 6


@dataclass(frozen=True)
class Column:
    """A column for readers: a value, with its interval if it has one; a text is cut to some characters."""

    value: str
    low: str | None = None
    high: str | None = None
    num_characters: int | None = None

    @classmethod
    def parse(cls, text: str) -> Column:
        """Read `"value"`, `"value [low, high]"`, `"text:20"` (its first characters) or `"text:-20"` (its last)."""
        name, colon, number = text.partition(":")
        if colon:
            return cls(name, num_characters=int(number))
        value, low, high = (*text.replace("[", " ").replace("]", " ").replace(",", " ").split(), None, None)[:3]
        return cls(str(value), low, high)

    def cell(self, row: dict[str, Any]) -> str:
        """The cell of a row."""
        if self.num_characters is not None and row[self.value] is not None:
            kept = slice(self.num_characters, None) if self.num_characters < 0 else slice(self.num_characters)
            return in_words(row[self.value][kept])
        if self.low is None or self.high is None:
            return cell_in_words(row, self.value)
        return estimate(row[self.value], row[self.low], row[self.high])


def readable(table: pl.DataFrame, columns: Sequence[str], most_rows: int) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table's first rows with numbers, for those columns that are not empty.

    Args:
        table: A measure's table.
        columns: As `Measure.columns` has them.
        most_rows: The most rows.
    """
    known = [column for column in map(Column.parse, columns) if column.value in table.columns]
    table = with_numbers(table, [column.value for column in known if column.low])
    shown = [column for column in known if table[column.value].null_count() < len(table)]
    headings = [column.value.replace("num_", "").replace("_", " ") for column in shown]
    return headings, [[column.cell(row) for column in shown] for row in table.head(most_rows).iter_rows(named=True)]


def with_numbers(table: pl.DataFrame, estimates: Sequence[str]) -> pl.DataFrame:
    """The rows with at least one of these estimates; the others have a note."""
    return table.filter(pl.any_horizontal(pl.col(estimates).is_not_null())) if estimates else table


def notes(table: pl.DataFrame) -> list[str]:
    """A table's notes, each once, with its number of rows if there are several."""
    if "note" not in table.columns:
        return []
    counted = table.filter(pl.col("note").is_not_null()).group_by("note", maintain_order=True).len()
    return [note if count == 1 else f"{note} ({count:,} rows)" for note, count in counted.iter_rows()]


def in_words(value: Any) -> str:
    """A cell's value for a reader: three digits, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else in_line(str(value))


def cell_in_words(row: dict[str, Any], column: str) -> str:
    """A cell for a reader; a class by its name in words."""
    said = in_words(row[column])
    return class_in_words(said) if column == "class" else said


def estimate(value: float | None, low: float | None, high: float | None) -> str:
    """A value and the longer side of its interval, as precise as the interval: `"0.71 ±0.05"`.

    The interval has one digit, or two if it begins with 1, because rounding changes it most then.
    """
    if value is None or low is None or high is None:
        return in_words(value)
    half = max(value - low, high - value)
    if not (0 < half < math.inf):
        return in_words(value)
    magnitude = math.floor(math.log10(half))
    decimals = (half < 2 * 10**magnitude) - magnitude
    if decimals > MOST_DECIMALS:
        return f"{in_words(float(value))} ±{half:.0e}"
    decimals = max(decimals, FEWEST_DECIMALS)
    return f"{value:.{decimals}f} ±{half:.{decimals}f}"

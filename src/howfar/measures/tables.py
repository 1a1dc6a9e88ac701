"""The tables of measures: rows by column name, or a note that says why there is no number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from howfar.errors import NotMeasurableError

Row = dict[str, Any]


def table(rows: Iterable[Mapping[str, Any]], *columns: tuple[type, str]) -> pl.DataFrame:
    """A table with these columns, in their order, and a last one for the note; null where a row lacks one.

    Args:
        rows: Each by column name.
        *columns: A type, and the names of columns of this type, separated by spaces.
    """
    schema = {name: kind for kind, names in (*columns, (str, "note")) for name in names.split()}
    return pl.DataFrame(list(rows), schema=schema)


def measured(row: Row, numbers: Callable[[], Row]) -> Row:
    """A row with its numbers, or with a note that says why they cannot be measured."""
    try:
        return row | numbers()
    except NotMeasurableError as error:
        return row | {"note": f"not measurable: {error}"}


def rows_or_notes(make: Callable[[], Iterable[Row]], *missing: Mapping[str, Any]) -> list[Row]:
    """Rows; if they cannot be measured, one that says why for each that is missing, so that others are kept.

    Args:
        make: Measures the rows.
        *missing: What identifies each row that there is without numbers.
    """
    try:
        return list(make())
    except NotMeasurableError as error:
        return [{**row, "note": f"not measurable: {error}"} for row in missing]


def places_of(layers: Sequence[int | None], num_heads: int) -> Iterator[tuple[tuple[int, int], Row]]:
    """Every layer and head: its indices in an array `[layer, head]`, and its columns in a table."""
    for index, layer in enumerate(layers):
        for head in range(num_heads):
            yield (index, head), {"layer": layer, "head": head}

"""Tables of measures in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from howfar.commands.output import console, say

if TYPE_CHECKING:
    import polars as pl

    from howfar.measures.declaration import Measure

MOST_ROWS = 20
LONG_CELL = 24  # a cell with more characters may be wrapped


def print_table(table: pl.DataFrame, chosen: Measure, source: str) -> None:
    """Print a table with its notes, as a matrix if the measure has one."""
    from howfar.charts.matrices import grid
    from howfar.charts.text_tables import notes, readable

    if chosen.value:
        typer.echo(f"{chosen.value[0].upper()}{chosen.value[1:]}; ±: 95% interval")
    if chosen.matrix is not None:
        laid_out = grid(table, chosen.matrix, most_rows=MOST_ROWS, width=console().width)
        for headings, rows in laid_out.blocks:
            _print_rows(headings, rows, matrix=True)
        remarks = laid_out.remarks
    else:
        _print_rows(*readable(table, chosen.columns, MOST_ROWS))
        more = f"These are {MOST_ROWS} of {len(table):,} rows; --csv prints all of them."
        remarks = [more] if len(table) > MOST_ROWS else []
    for line in (*remarks, *notes(table), source):
        say(line)


def _print_rows(headings: list[str], rows: list[list[str]], *, matrix: bool = False) -> None:
    """Print rows; if they are a list, a value that all rows share is printed once, above them."""
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    columns = list(zip(headings, zip(*rows, strict=True), strict=True)) if rows else []
    same = [(heading, cells[0]) for heading, cells in columns if len(rows) > 1 and len(set(cells)) == 1 and not matrix]
    varying = [(heading, cells) for heading, cells in columns if (heading, cells[0]) not in same]
    if same:
        typer.echo(", ".join(f"{heading} {cell}".strip() for heading, cell in same))
    drawn = Table(box=None, padding=(0, 2, 0, 0))
    for heading, cells in varying:
        # In a narrow terminal, only sentences and long names are wrapped.
        drawn.add_column(heading, no_wrap=not any(len(cell) > LONG_CELL for cell in cells))
    for row in zip(*(cells for _, cells in varying), strict=True):
        drawn.add_row(*map(Text, row))  # Text, so that brackets are not read as markup
    screen = console()
    if not screen.is_terminal and not matrix:
        natural = Measurement.get(screen, screen.options.update(width=10_000), drawn).maximum
        screen.width = max(screen.width, natural)
    screen.print(drawn)

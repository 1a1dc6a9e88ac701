"""Tables as files, and as readers like to see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.charts.glyphs import in_line
from howfar.charts.picture import FORMATS as PICTURE_FORMATS
from howfar.errors import OutputError
from howfar.files import check_writable, whole_file, whole_folder

if TYPE_CHECKING:
    import polars as pl

TABLE_FORMATS = ("csv", "parquet", "json")


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is to hold a table, not a picture."""
    return _format(path) in TABLE_FORMATS


def check_output(path: Path, partitions: Sequence[str] = ()) -> None:
    """Find fault with a file's name before any work is done.

    Args:
        path: The file, or a folder to write a table's parts to.
        partitions: Columns by which the table can be parted.

    Raises:
        OutputError: It is no format of tables or pictures, its folder is not there, or the table cannot be parted.
    """
    if not path.suffix and partitions:
        if path.exists():
            raise OutputError(f"{path} exists already; name a new folder, or end the name in .parquet for one file")
    elif _format(path) not in (*TABLE_FORMATS, *PICTURE_FORMATS):
        raise OutputError(
            f"{str(path)!r} ends in {path.suffix!r}; end it in .{', .'.join(TABLE_FORMATS)} for the table "
            f"or .{', .'.join(PICTURE_FORMATS)} for the picture"
        )
    check_writable(path)


def check_page(path: Path) -> None:
    """Find fault with a web page's name before any work is done.

    Raises:
        OutputError: It does not end in .html, or its folder is not there.
    """
    if _format(path) != "html":
        raise OutputError(f"{str(path)!r} ends in {path.suffix!r}; a report is a web page: end it in .html")
    check_writable(path)


def check_folder_of_tables(path: Path) -> None:
    """Find fault with a folder for tables before any work is done.

    Raises:
        OutputError: Something else has its name, or it cannot be made where it is to be.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is no folder; name another one for the tables")
    if not path.exists():
        check_writable(path)


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as CSV, Parquet or JSON (a list of rows), by the file's ending; whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    writers: dict[str, Callable[[Path], Any]] = {
        "csv": table.write_csv,
        "parquet": table.write_parquet,
        "json": table.write_json,
    }
    with whole_file(path) as partial:
        writers[_format(path)](partial)


def write_dataset(table: pl.DataFrame, folder: Path, partitions: Sequence[str]) -> None:
    """Write a table as a folder of Parquet files, parted by columns (`kind=largest/layer=0/…`); whole or not at all.

    `polars.read_parquet` reads the folder as one table.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_folder(folder) as partial:
        table.write_parquet(partial, partition_by=partitions, mkdir=True)


@dataclass(frozen=True)
class Column:
    """A column for readers: a value, with its interval if it has one; of a text, only so many characters."""

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
        """What stands in a row."""
        if self.num_characters is not None and row[self.value] is not None:
            kept = slice(self.num_characters, None) if self.num_characters < 0 else slice(self.num_characters)
            return in_words(row[self.value][kept])
        value = in_words(row[self.value])
        if self.low is None or self.high is None or row[self.low] is None:
            return value
        return f"{value} [{in_words(row[self.low])}, {in_words(row[self.high])}]"


def readable(table: pl.DataFrame, columns: Sequence[str], most_rows: int) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table's first rows with numbers, of those columns in which there is anything.

    Args:
        table: A measure's.
        columns: As `Measure.columns` has them.
        most_rows: How many rows at most.
    """
    import polars as pl

    known = [column for column in map(Column.parse, columns) if column.value in table.columns]
    estimates = [column.value for column in known if column.low]
    if estimates:  # what has no number has a note
        table = table.filter(pl.any_horizontal(pl.col(estimates).is_not_null()))
    shown = [column for column in known if table[column.value].null_count() < len(table)]
    headings = [column.value.replace("num_", "").replace("_", " ") for column in shown]
    return headings, [[column.cell(row) for column in shown] for row in table.head(most_rows).iter_rows(named=True)]


def notes(table: pl.DataFrame) -> list[str]:
    """What a table's notes say, each once, with how many rows it is said of."""
    import polars as pl

    if "note" not in table.columns:
        return []
    counted = table.filter(pl.col("note").is_not_null()).group_by("note", maintain_order=True).len()
    return [f"{note} ({'1 row' if count == 1 else f'{count:,} rows'})" for note, count in counted.iter_rows()]


def in_words(value: Any) -> str:
    """A cell's value for a reader: three digits, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else in_line(str(value))


def _format(path: Path) -> str:
    return path.suffix.removeprefix(".").lower()

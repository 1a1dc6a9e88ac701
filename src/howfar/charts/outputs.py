"""Files of tables, pictures and pages: names are checked before any work, files written completely or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.charts.saving import FORMATS as PICTURE_FORMATS
from howfar.charts.saving import ending
from howfar.errors import OutputError
from howfar.files import check_new_folder, check_writable, whole_file, whole_folder

if TYPE_CHECKING:
    import polars as pl

TABLE_FORMATS = ("csv", "parquet", "json")


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table, not a picture."""
    return _format(path) in TABLE_FORMATS


def check_output(path: Path, partitions: Sequence[str] = ()) -> None:
    """Check a file's name before any work.

    Args:
        path: The file, or a folder for a table's parts.
        partitions: Columns by which the table can be split.

    Raises:
        OutputError: The suffix is unknown, its folder does not exist, or the table cannot be split.
    """
    if not path.suffix and partitions:
        check_new_folder(path)
        if path.exists():
            raise OutputError(f"{path} exists already; name a new folder, or end the name in .parquet for one file")
    elif _format(path) not in (*TABLE_FORMATS, *PICTURE_FORMATS):
        raise OutputError(
            f"{str(path)!r} {ending(path)}; end it in .{', .'.join(TABLE_FORMATS)} for the table "
            f"or .{', .'.join(PICTURE_FORMATS)} for the picture"
        )
    check_writable(path)


def check_page(path: Path) -> None:
    """Check a web page's name before any work.

    Raises:
        OutputError: It does not end in .html, or its folder does not exist.
    """
    if _format(path) != "html":
        raise OutputError(f"{str(path)!r} {ending(path)}; a report is a web page: end it in .html")
    check_writable(path)


def check_folder_of_tables(path: Path) -> None:
    """Check a folder for tables before any work.

    Raises:
        OutputError: Something else has its name, or it cannot be created there.
    """
    check_new_folder(path)
    if not path.resolve().parent.is_dir():
        raise OutputError(f"{path} cannot be made: there is no folder {path.parent}; make it, or choose another")


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as CSV, Parquet or JSON (a list of rows), by the file's suffix; completely or not at all.

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
    """Write a table as a folder of Parquet files, split by columns (`kind=largest/layer=0/…`); all or nothing.

    `polars.read_parquet` reads the folder as one table.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_folder(folder) as partial:
        table.write_parquet(partial, partition_by=partitions, mkdir=True)


def _format(path: Path) -> str:
    return path.suffix.removeprefix(".").lower()

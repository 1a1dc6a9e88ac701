"""Files to take away: pictures and tables as bytes."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from howfar.charts.picture import Picture

PICTURE_FORMATS = ("html", "svg", "png")


def picture_bytes(picture: Picture, file_format: str) -> bytes:
    """A picture as the bytes of a file.

    Args:
        picture: The picture.
        file_format: One of `PICTURE_FORMATS`.

    Raises:
        HowFarError: It cannot be drawn in this format.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"picture.{file_format}")
        picture.save(path)
        return path.read_bytes()


def csv_bytes(table: pl.DataFrame) -> bytes:
    """A table as CSV: numbers to their last digit, bytes as hexadecimal, and a mark that tells Excel it is UTF-8."""
    import polars as pl

    text = table.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    return b"\xef\xbb\xbf" + text.write_csv().encode()


def parquet_bytes(table: pl.DataFrame) -> bytes:
    """A table as Parquet."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()

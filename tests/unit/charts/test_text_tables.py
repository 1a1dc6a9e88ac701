"""Tables for readers and as folders of files."""

from pathlib import Path

import polars as pl
import pytest

from howfar.charts.outputs import check_output, write_dataset
from howfar.charts.text_tables import Column, readable
from howfar.errors import OutputError

TABLE = pl.DataFrame({"text": ["a long text", None], "value": [0.12345, 2.0], "low": [0.1, None], "high": [0.2, None]})


def test_texts_are_cut_as_columns_say() -> None:
    assert Column.parse("text:-4").cell(TABLE.row(0, named=True)) == "text"
    assert Column.parse("text:6").cell(TABLE.row(0, named=True)) == "a long"
    assert Column.parse("text:6").cell(TABLE.row(1, named=True)) == ""
    headings, rows = readable(TABLE, ["text:-4", "value [low, high]"], 10)
    assert headings == ["text", "value"]
    assert rows == [["text", "0.12 ±0.08"], ["", "2"]]


def test_what_a_terminal_would_obey_is_shown() -> None:
    row = {"text": "a\x1b[31m\nb\u202e c"}
    assert Column.parse("text").cell(row) == "a\\x1b[31m⏎bU+202E c"


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    table = pl.DataFrame({"kind": ["x", "y", "x"], "layer": [0, 0, None], "value": [1.0, 2.0, 3.0]})
    write_dataset(table, tmp_path / "parts", ["kind", "layer"])
    assert (tmp_path / "parts" / "kind=y" / "layer=0").is_dir()
    read = pl.read_parquet(tmp_path / "parts").select(table.columns)
    assert read.sort("value").equals(table)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "other.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(OutputError, match="parts cannot be written"):
        write_dataset(TABLE, tmp_path / "parts", ["value"])
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
    assert (tmp_path / "parts" / "other.txt").read_text(encoding="utf-8") == "kept"


def test_only_tables_that_can_be_parted_may_be_folders(tmp_path: Path) -> None:
    check_output(tmp_path / "parts", ["kind"])
    with pytest.raises(OutputError, match="has no ending; end it in"):
        check_output(tmp_path / "parts")
    with pytest.raises(OutputError, match="exists already; name a new folder"):
        check_output(tmp_path, ["kind"])
    with pytest.raises(OutputError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "parts", ["kind"])

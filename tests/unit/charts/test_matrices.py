"""Values as a matrix: what fits, what is left out by name, how wide intervals are that do not fit."""

import polars as pl
import pytest

from howfar.charts.matrices import MOST_BLOCKS, MOST_NAMED, grid
from howfar.charts.text_tables import estimate
from howfar.measures.declaration import Matrix

MATRIX = Matrix(rows=("class",))


def table(num_classes: int, num_layers: int) -> pl.DataFrame:
    rows = [
        {"class": f"kind_{number}", "layer": layer, "head": 0, "value": number + layer / 10, "half": 0.03}
        for number in range(num_classes)
        for layer in range(num_layers)
    ]
    return pl.DataFrame(rows).with_columns(low=pl.col("value") - pl.col("half"), high=pl.col("value") + pl.col("half"))


def test_classes_are_rows_and_layers_columns() -> None:
    found = grid(table(2, 2), MATRIX, most_rows=20, width=80)
    assert found.blocks == [
        (
            ["", "layer 0", "layer 1"],
            [["kind 0", "0.00 ±0.03", "0.10 ±0.03"], ["kind 1", "1.00 ±0.03", "1.10 ±0.03"]],
        )
    ]
    assert found.remarks == ["head 0"]  # what is the same everywhere is said once


def test_what_is_left_out_is_named() -> None:
    found = grid(table(8, 2), MATRIX, most_rows=2, width=80)
    assert [row[0] for row in found.blocks[0][1]] == ["kind 0", "kind 1"]
    named = "; ".join(f"kind {number}" for number in range(2, 2 + MOST_NAMED))
    assert found.remarks[-1] == f"left out 6 rows: {named} and 2 more; --csv prints all"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for num_layers in (1, 6, 12, 40):
        found = grid(table(3, num_layers), MATRIX, most_rows=20, width=width)
        assert len(found.blocks) <= MOST_BLOCKS
        for headings, rows in found.blocks:
            columns = zip(headings, *rows, strict=True)
            assert sum(max(map(len, column)) + 2 for column in columns) - 2 <= width
        shown = sum(len(headings) - 1 for headings, _ in found.blocks)
        assert (shown < num_layers) == any("left out" in remark for remark in found.remarks)


def test_intervals_that_do_not_fit_are_told_by_their_widest() -> None:
    found = grid(table(1, 12), MATRIX, most_rows=20, width=60)
    assert "±" not in "".join(found.blocks[0][1][0])
    assert "95% intervals are at most ±0.03; --csv prints them" in found.remarks


def test_what_is_of_no_layer_stands_first() -> None:
    rows = pl.concat([table(1, 2), table(1, 1).with_columns(layer=pl.lit(None, pl.Int64), value=5.0)])
    assert grid(rows, MATRIX, most_rows=20, width=80).blocks[0][0] == ["", "all", "layer 0", "layer 1"]


def test_one_layer_and_all_layers_are_two_columns() -> None:
    rows = pl.concat([table(1, 1), table(1, 1).with_columns(layer=pl.lit(None, pl.Int64), value=5.0)])
    for both in (rows, rows[::-1], rows.with_columns(head=pl.when(pl.col("layer").is_not_null()).then(0))):
        found = grid(both, MATRIX, most_rows=20, width=80)
        assert found.blocks[0] == (["", "all", "layer 0"], [["all", "5 ±5", "0.00 ±0.03"]])
        assert found.remarks == ["class kind_0, head 0"]


def test_values_that_no_column_tells_apart_are_counted() -> None:
    found = grid(pl.concat([table(2, 2), table(2, 1)]), MATRIX, most_rows=20, width=80)
    assert "left out 2 values with the same row and column as another; --csv prints all" in found.remarks


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0.7123, 0.66, 0.76), "0.71 ±0.05"),
        ((0.7123, 0.70, 0.7246), "0.712 ±0.012"),
        ((1234.5, 1200.0, 1270.0), "1234 ±36"),
        ((-0.0004, -0.0009, 0.0002), "-0.0004 ±0.0006"),
        ((2.0, 2.0, 2.0), "2"),
        ((2.0, None, None), "2"),
        ((2.0, float("nan"), float("nan")), "2"),
        ((1.0, 1.0 - 1e-9, 1.0 + 1e-9), "1 ±1e-09"),
        ((None, None, None), ""),
    ],
)
def test_a_value_is_as_precise_as_its_interval(numbers: tuple[float | None, ...], said: str) -> None:
    assert estimate(*numbers) == said

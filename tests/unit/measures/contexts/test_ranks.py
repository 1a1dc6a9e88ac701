"""Ranks in a corpus, by tables of contexts, against counting."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from howfar.errors import ConfigError
from howfar.measures.contexts import contexts
from howfar.measures.contexts.ranks import corpus_ranks, read_contexts
from support.lookup import lookup_model

TEXTS = ["abcdefghij" * 20] * 10
TABLE = {ord(letter): float(number) for number, letter in enumerate("abcdefghij", start=1)}


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return contexts(lookup_model(TABLE, {}), TEXTS)


def percentile(table: pl.DataFrame, increment: float, layer: int = 0, **options: str) -> float | None:
    return corpus_ranks(table, [[increment]], [layer], **options)["corpus_percentile"][0]


def test_an_increment_has_the_share_of_tokens_that_have_no_more(table: pl.DataFrame) -> None:
    for increment in range(1, 10):
        assert percentile(table, increment) == pytest.approx(10.0 * increment, abs=5)
    assert percentile(table, 3.0) <= percentile(table, 3.5) <= percentile(table, 4.0)
    assert percentile(table, 0.5) == pytest.approx(0.1)
    assert percentile(table, 99.0) == pytest.approx(99.9)
    assert percentile(table, 1.0, layer=1) == pytest.approx(99.9)  # there all are alike
    assert percentile(table, 0.9, layer=1) == pytest.approx(0.1)


def test_it_compares_with_a_class(table: pl.DataFrame) -> None:
    assert percentile(table, 5.0, of_class="lowercase") == percentile(table, 5.0)
    assert percentile(table, 5.0, of_class="digit") is None
    assert percentile(table, 5.0, layer=7) is None


def test_shared_increments_rank_in_every_layer() -> None:
    shared = contexts(lookup_model(TABLE, {}, scope="shared"), TEXTS)
    found = corpus_ranks(shared, np.full((2, 1), 5.0), [0, 1])
    assert found["corpus_percentile"][0] == found["corpus_percentile"][1] == pytest.approx(50, abs=5)


def test_a_table_is_read_from_a_file(table: pl.DataFrame, tmp_path: Path) -> None:
    table.write_parquet(tmp_path / "contexts.parquet")
    assert read_contexts(tmp_path / "contexts.parquet").equals(table)
    table.write_parquet(tmp_path / "parts", partition_by=["kind", "layer"], mkdir=True)
    parts = read_contexts(tmp_path / "parts")
    assert percentile(parts, 5.0) == percentile(table, 5.0)


def test_what_is_no_table_of_contexts_is_refused(table: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"missing.parquet cannot be read .*give a file that `howfar measure contexts"
    ):
        read_contexts(tmp_path / "missing.parquet")
    table.drop("share").write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match="is not a table of contexts; give a file"):
        read_contexts(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_contexts(tmp_path / "text.parquet")

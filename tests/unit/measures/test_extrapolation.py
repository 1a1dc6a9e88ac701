import math
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import torch
from torch import nn

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures.extrapolation import extrapolation
from support.copying import LAG, copying_model, repeating_texts

LENGTH = 16
TEXTS = repeating_texts(12, length=8 * LENGTH)


def lengths_to_go_wrong(model: nn.Module, beyond: int) -> None:
    """Let a model predict nothing (all tokens alike) beyond so many tokens."""

    def forget(module: nn.Module, args: Any, output: Any) -> Any:
        output.logits[:, beyond:] = 0
        return output

    model.register_forward_hook(forget)


def last_blocks(table: pl.DataFrame, source: str = "all") -> pl.DataFrame:
    return table.filter(pl.col("stop") == pl.col("context"), pl.col("source") == source).sort("times")


def test_relative_positions_work_at_any_length() -> None:
    table = extrapolation(copying_model(), TEXTS, training_length=LENGTH)
    assert last_blocks(table)["times"].to_list() == [1, 2, 4, 8]
    assert table.filter(source="all").height == 2 * (1 + 2 + 4 + 8)
    assert (last_blocks(table)["change"].abs() < 1e-3).all()
    # The first letters of a window have nothing to be copied from, and cost as much in every context.
    firsts = table.filter(source="all", start=0)["value"].to_list()
    assert max(firsts) - min(firsts) < 0.5
    assert min(firsts) > (LAG - 1) * 12 / 8


def test_finds_where_a_model_fails() -> None:
    model = copying_model()
    lengths_to_go_wrong(model, 2 * LENGTH)
    table = extrapolation(model, TEXTS, training_length=LENGTH, factors=[1, 2, 4])
    changes = last_blocks(table)
    assert changes["change"].to_list()[:2] == pytest.approx([0, 0], abs=1e-3)
    assert changes["change"][2] == pytest.approx(math.log(257), rel=1e-3)
    assert changes["change_low"][2] > 5
    inner = table.filter(pl.col("stop") < pl.col("context"))
    assert inner["change"].null_count() == inner.height


def test_scores_every_byte_but_the_first_once() -> None:
    model = copying_model()
    lengths_to_go_wrong(model, 0)
    table = extrapolation(model, TEXTS, training_length=LENGTH, factors=[2])
    assert table["value"].to_list() == pytest.approx([math.log(257)] * table.height)
    sizes = table.filter(source="all").sort("start")["num_bytes"].to_list()
    assert sizes == [12 * 7, 12 * 8, 12 * 8, 12 * 8]  # the document mark before a text is no byte


def test_strings_short_documents_together(make_corpus: Callable[..., Corpus]) -> None:
    long, short = repeating_texts(11, length=40), repeating_texts(24, length=20, seed=1)
    corpus = make_corpus(long=(["x"], long), short=(["y"], short), rare=(["z"], repeating_texts(1, length=40, seed=2)))
    table = extrapolation(copying_model(), corpus, training_length=LENGTH, factors=[1, 2])
    windows = dict(table.group_by("source").agg(pl.col("n").first()).iter_rows())
    assert windows == {"all": 24, "long": 11, "short": 12, "rare": None}
    assert table.filter(source="rare")["note"].item() == "not measurable: 1 windows of this length are too few"
    # The second document's mark and first letters are scored as what they are: no byte, and hard.
    assert last_blocks(table, "short")["num_bytes"].to_list() == [12 * 8] * 2
    middle = table.filter(source="short", times=2).sort("start")["num_bytes"].to_list()
    assert middle == [12 * 7, 12 * 8, 12 * 7, 12 * 8]


def test_num_windows_is_the_most() -> None:
    table = extrapolation(copying_model(), TEXTS, training_length=LENGTH, factors=[1], num_windows=10)
    assert set(table["n"]) == {10}


def test_short_texts_are_not_measurable() -> None:
    table = extrapolation(copying_model(), ["abc"] * 3, training_length=LENGTH)
    assert table.height == 1
    assert table["note"].item() == "not measurable: no source has 128 tokens"


@pytest.mark.parametrize("factors", [[], [0, 1], [2, 1], [1, 1]])
def test_refuses_odd_factors(factors: list[int]) -> None:
    with pytest.raises(ConfigError, match="they must be ascending whole numbers"):
        extrapolation(copying_model(), TEXTS, factors=factors)


def test_works_without_increments() -> None:
    model = copying_model(increments=None)
    torch.manual_seed(0)
    table = extrapolation(model, TEXTS, training_length=LENGTH, factors=[1])
    assert table.filter(source="all").height == 2

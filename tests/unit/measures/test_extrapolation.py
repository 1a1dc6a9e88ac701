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
from howfar.measures.random_order import in_random_order
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from support.copying import LAG, copying_model, repeating_texts
from support.lookup import lookup_model

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
    with pytest.raises(ConfigError, match="give ascending whole numbers"):
        extrapolation(copying_model(), TEXTS, factors=factors)


def steps_of(model: nn.Module, windows: list[Window]) -> dict[int, torch.Tensor]:
    return Reader(model).read_together(windows, "increments").increments


def test_the_training_length_may_be_given() -> None:
    model, texts = copying_model(), repeating_texts(12, length=100)
    table = extrapolation(model, texts, training_length=16, factors=(1, 2))
    assert table["context"].unique().sort().to_list() == [16, 32]
    with pytest.raises(ConfigError, match="the training length is 1; give at least 2 tokens"):
        extrapolation(model, texts, training_length=1)


def test_blocks_of_an_odd_length_end_where_all_contexts_end() -> None:
    table = extrapolation(copying_model(), repeating_texts(12, length=100), training_length=15, factors=(1, 2))
    last = last_blocks(table)
    assert last["start"].to_list() == [8, 23]
    assert last["num_bytes"].unique().len() == 1  # the same bytes in both contexts
    assert table.filter(source="all", start=0)["stop"].to_list() == [8, 9]


def test_contexts_are_matched_in_positions_across_sources(make_corpus: Callable[..., Corpus]) -> None:
    # Steps are 2 positions at "a" and 1 at "b"; beyond 31 the model predicts nothing, else the same letter.
    model = lookup_model({ord("a"): 2.0}, certainty={ord("a"): 9.0})
    model.get_output_embeddings().weight.data[ord("b"), ord("b")] = 9.0

    def forget(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        steps = torch.where(kwargs["input_ids"] == ord("a"), 2.0, 1.0)
        steps[:, 0] = 0.0
        output.logits[steps.cumsum(dim=1) > 31] = 0
        return output

    model.register_forward_hook(forget, with_kwargs=True)
    corpus = make_corpus(
        a=(["x"], [("a" * 80)[number:] for number in range(12)]),
        b=(["y"], [("b" * 80)[number:] for number in range(12)]),
    )
    table = extrapolation(model, corpus, training_length=10, factors=[1, 2, 3, 5], num_windows=12)
    long, short = (last_blocks(table, source) for source in ("a", "b"))
    assert (long["positions"] / short["positions"]).to_list() == pytest.approx([2.0] * 4, rel=0.1)
    # By tokens "a" fails at twice the length and "b" does not; with as many positions both do likewise.
    assert (long["change"][1] > 1, abs(short["change"][1]) < 1e-6) == (True, True)
    spans = [own["matched_positions"].to_list()[:3] for own in (long, short)]
    assert spans[0] == pytest.approx(spans[1], abs=1.51)
    assert spans[1] == pytest.approx([15, 30, 45], abs=1.5)
    tokens = [own["matched_tokens"].to_list()[:3] for own in (long, short)]
    assert tokens[1] == pytest.approx([2 * own for own in tokens[0]], abs=3)
    assert [own["matched_change"][2] > 1 for own in (long, short)] == [True, True]
    assert [abs(own["matched_change"][1]) < 0.5 for own in (long, short)] == [True, True]


def test_windows_that_span_too_few_positions_are_not_matched() -> None:
    # Of two documents one steps so little that none of its contexts spans eight times the mean.
    texts = [("a" if number % 2 else "b") * 200 for number in range(24)]
    table = extrapolation(lookup_model({ord("a"): 3.0}), texts, training_length=LENGTH)
    last = last_blocks(table)
    assert last["matched_n"].to_list() == [24, 24, 24, 12]
    assert last["matched_change"].is_null().to_list() == [False, False, False, True]
    assert last["note"].to_list() == [None, None, None, "positions are not matched: 12 of 24 windows span as many"]
    plain = last_blocks(extrapolation(copying_model(increments=None), TEXTS, training_length=LENGTH, factors=[1, 2]))
    assert plain["matched_tokens"].to_list() == plain["context"].to_list()
    assert plain["matched_change"].to_list() == pytest.approx(plain["change"].to_list())
    assert plain["random_change"].null_count() == 2


def test_random_order_keeps_the_steps_and_their_size() -> None:
    windows = [Window(0, torch.tensor([256, *b"abcdefgh"]).numpy())]
    table = {byte: 1.0 + number for number, byte in enumerate(b"abcdefgh")}
    for scope, alike in (("shared", True), ("per_layer", False)):
        model = lookup_model(table, table, scope=scope)
        untouched = steps_of(model, windows)[0]
        with in_random_order(Reader(model), seed=0):
            found = steps_of(model, windows)
        for own in found.values():
            assert not torch.equal(own, untouched)
            assert torch.equal(own.sort().values, untouched.sort().values)
            assert torch.equal(own[..., 0], untouched[..., 0]), "elsewhere, the mark's step would be a gap in the text"
        assert torch.equal(found[0], found[1]) == alike


def test_a_model_whose_steps_are_even_is_its_own_control() -> None:
    table = last_blocks(extrapolation(copying_model(), TEXTS, training_length=LENGTH, factors=[1, 2]))
    assert table["random_change"].to_list() == pytest.approx(table["change"].to_list(), abs=1e-6)
    assert table["beyond_random"].to_list() == pytest.approx([0, 0], abs=1e-6)


def test_works_without_increments() -> None:
    model = copying_model(increments=None)
    torch.manual_seed(0)
    table = extrapolation(model, TEXTS, training_length=LENGTH, factors=[1])
    assert table.filter(source="all").height == 2

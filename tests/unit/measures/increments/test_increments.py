"""Increments by class of token, of models whose increments are known to the last digit."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from howfar.errors import ConfigError, NoIncrementsError, NotMeasurableError
from howfar.measures.increments import MAX_WINDOWS, increments
from howfar.models.loading import load
from howfar.positions import IncrementConfig, attach, override
from howfar.text.tokenizer import END_OF_DOCUMENT, byte_tokenizer
from support.copying import copying_model
from support.grafts import documents, make_base
from support.lookup import lookup_model
from support.models import stir, tiny

VOWELS = {ord(vowel): 2.0 for vowel in "aeiou"}
TABLE = VOWELS | {ord(" "): 4.0, END_OF_DOCUMENT: 8.0}


def in_class(table: pl.DataFrame, name: str, layer: int | None = 0, over: str = "text", head: int = 0) -> dict:
    chosen = table.filter(
        pl.col("class") == name, pl.col("over") == over, pl.col("layer").eq_missing(layer), pl.col("head") == head
    )
    return chosen.row(0, named=True)


def test_positions_that_are_no_sums_are_no_steps() -> None:
    with pytest.raises(NotMeasurableError, match=r"accumulate=False.*; use a model that sums its increments"):
        increments(copying_model(increments={"accumulate": False}), ["ab ba"] * 12)


def test_means_spread_and_range_of_each_class() -> None:
    texts = ["ab ba"] * 6 + ["bbb"] * 6
    table = increments(lookup_model(TABLE, {}), texts)
    lowercase = in_class(table, "lowercase")
    values = np.array([2.0, 1.0, 1.0, 2.0] * 6 + [1.0] * 18)
    assert lowercase["value"] == pytest.approx(values.mean())
    assert lowercase["sd"] == pytest.approx(values.std())
    assert (lowercase["lowest"], lowercase["highest"]) == (1.0, 2.0)
    assert (lowercase["num_tokens"], lowercase["n"]) == (42, 12)
    assert lowercase["low"] < lowercase["value"] < lowercase["high"]
    mean_of_all = (values.sum() + 6 * 4 + 12 * 8) / (42 + 6 + 12)
    assert in_class(table, "all")["value"] == pytest.approx(mean_of_all)
    assert lowercase["relative"] == pytest.approx(values.mean() / mean_of_all)
    assert in_class(table, "all", layer=1)["value"] == 1.0  # the other layer's table is empty


def test_what_is_the_same_everywhere_has_an_interval_without_width() -> None:
    end = in_class(increments(lookup_model(TABLE), ["ab", "ab ab"] * 5), "end_of_document")
    assert (end["value"], end["low"], end["high"], end["sd"]) == (8.0, 8.0, 8.0, 0.0)
    assert end["num_tokens"] == 10  # the mark before a text is not counted
    assert end["relative_low"] < end["relative"] < end["relative_high"]  # for it is not the same in every text


def test_intervals_widen_where_documents_differ() -> None:
    alike, unlike = ["aabb"] * 12, ["aaaa", "bbbb"] * 6
    widths = []
    for texts in (alike, unlike):
        row = in_class(increments(lookup_model(TABLE), texts), "lowercase")
        assert row["value"] == pytest.approx(1.5)
        widths.append(row["high"] - row["low"])
    assert widths[0] == 0
    assert 0.3 < widths[1] < 0.8  # 1.96 standard errors of 12 documents that are 1 or 2, to either side: 0.57


@pytest.mark.parametrize(("bound", "far"), [("sigmoid", 9.99), ("softplus", 40.0)])
def test_intervals_of_means_and_shares_end_at_the_bound(bound: str, far: float) -> None:
    table = {ord("a"): 0.001, ord("b"): far}
    texts = [f"{'a' * 40}{'b' * max(0, number - 10)}" for number in range(16)] + ["a" * 20 + "b" * 30]
    row = in_class(increments(lookup_model(table, bound=bound), texts), "lowercase")
    assert 0 <= row["low"] < row["value"] < row["high"] <= (10 if bound == "sigmoid" else np.inf)
    assert 0 <= row["relative_low"] < row["relative"] < row["relative_high"]


def test_increments_that_someone_sets_beyond_the_bound_have_an_interval_there() -> None:
    model = lookup_model({ord("a"): 2.0})
    with override(model, lambda layer, own: own + 20):
        row = in_class(increments(model, ["aab", "abb"] * 6), "lowercase")
    assert row["value"] == pytest.approx(21.5)
    assert 21 < row["low"] < 21.5 < row["high"] < 22


def test_steps_that_go_both_ways_are_no_scale() -> None:
    table = {ord("a"): 1.0, ord("b"): -1.0, END_OF_DOCUMENT: 0.0}
    texts = ["aab", "abb"] * 6
    for signed, is_scale in ((table, False), ({ord("a"): -1.0, ord("b"): -2.0}, True)):
        found = increments(lookup_model(signed, bound="signed"), texts)
        for over in ("text", "vocabulary"):
            row = in_class(found, "lowercase", over=over)
            assert row["value"] is not None
            assert (row["relative"] is not None) == is_scale


def test_over_the_vocabulary_each_token_counts_once() -> None:
    table = increments(lookup_model(TABLE), ["bb"] * 10)
    lowercase = in_class(table, "lowercase", over="vocabulary")
    assert lowercase["value"] == pytest.approx((5 * 2 + 21) / 26)
    assert (lowercase["num_tokens"], lowercase["low"]) == (26, None)
    everything = in_class(table, "all", over="vocabulary")
    assert everything["value"] == pytest.approx((257 + 5 + 3 + 7) / 257)
    in_text = in_class(table, "all")
    assert lowercase["relative"] == pytest.approx(lowercase["value"] / in_text["value"])


def test_shared_increments_are_of_no_layer() -> None:
    table = increments(lookup_model(TABLE, {}, scope="shared", bound="softplus"), ["a b"] * 10)
    assert table["layer"].null_count() == len(table)
    assert in_class(table, "space", layer=None)["value"] == 4.0
    assert in_class(table, "space", layer=None, over="vocabulary")["value"] == 4.0


def test_heads_are_told_apart() -> None:
    table = increments(lookup_model([TABLE, {}]), ["a b"] * 10)
    assert [in_class(table, "space", head=head)["value"] for head in (0, 1)] == [4.0, 1.0]
    assert [in_class(table, "space", head=head, over="vocabulary")["value"] for head in (0, 1)] == [4.0, 1.0]


@pytest.mark.parametrize(
    ("bound", "at_zero", "at_maximum"), [("sigmoid", 0.05, 9.95), ("softplus", 0.005, None), ("signed", None, None)]
)
def test_saturation_is_flagged(bound: str, at_zero: float | None, at_maximum: float | None) -> None:
    table = {ord("a"): at_zero or 0.001, ord("b"): at_maximum or 9.99, ord(" "): 9.0}
    found = increments(lookup_model(table, bound=bound), ["aab  b"] * 10)
    lowercase, space = in_class(found, "lowercase"), in_class(found, "space")
    assert lowercase["share_at_zero"] == (0.5 if at_zero else 0.0)
    assert lowercase["share_at_maximum"] == (0.5 if at_maximum else 0.0)
    assert lowercase["saturated"] == (at_zero is not None)
    assert not space["saturated"]
    assert space["share_at_maximum"] == 0


def test_code_has_classes_of_its_own() -> None:
    table = {ord(" "): 3.0, ord("("): 5.0, ord("="): 7.0}
    found = increments(lookup_model(table), ["  x1 = f(2)\n    y"] * 10, classes="code")
    for name, mean in {"indentation": 3.0, "space": 3.0, "operator": 7.0, "bracket": 3.0, "identifier": 1.0}.items():
        assert in_class(found, name)["value"] == mean
    assert in_class(found, "indentation")["num_tokens"] == 60
    over = found.filter(over="vocabulary")
    assert set(over["class"]) >= {"number", "bracket", "operator", "space"}
    assert "indentation" not in over["class"]  # a space by itself is none


def test_classes_of_chinese_bytes_are_told_from_others() -> None:
    found = increments(lookup_model({0xE4: 2.0, 0xB8: 3.0, 0xC3: 5.0}), ["中ä。"] * 10)
    means = {name: in_class(found, name)["value"] for name in ("cjk_lead", "cjk_continuation", "other_lead")}
    assert means == {"cjk_lead": 2.0, "cjk_continuation": 2.0, "other_lead": 5.0}  # 中 is E4 B8 AD
    assert in_class(found, "sentence_punctuation")["num_tokens"] == 10


def test_rare_classes_have_no_number() -> None:
    table = increments(lookup_model(TABLE), ["ab"] * 9 + ["a1"])
    row = table.filter(pl.col("class") == "digit", pl.col("over") == "text").row(0, named=True)
    assert row["value"] is None
    assert row["note"] == "not measurable: digit occurs in 1 document, too few for an interval"
    notes = dict(zip(table["class"], table["note"], strict=True))
    assert table.filter(pl.col("class") == "space", over="text")["note"].item().endswith("occurs in none of the texts")
    assert notes["lowercase"] is None


def test_subword_classes(tmp_path: Path) -> None:
    model = load(make_base(tmp_path / "base"))
    stir(attach(model, IncrementConfig(scope="shared")))
    table = increments(model, documents(20).split("\n\n"))
    names = set(table.filter(pl.col("value").is_not_null(), over="text")["class"])
    assert names >= {"all", "word_start", "function_word", "punctuation", "special"}
    exact = table.filter(over="vocabulary")
    assert exact.filter(pl.col("class") == "all")["num_tokens"].item() == 320
    everything = table.filter(pl.col("class") == "all", over="text")
    by_class = table.filter(pl.col("class") != "all", over="text").drop_nulls("value")
    weights = by_class["num_tokens"]
    assert everything["value"].item() == pytest.approx((by_class["value"] * weights).sum() / weights.sum(), rel=1e-5)


def test_long_documents_are_read_in_places() -> None:
    text = "b" * 5_000 + "a" * 5_000
    done: list[tuple[int, int]] = []
    table = increments(lookup_model(TABLE), [text] * 10, progress=lambda *state: done.append(state))
    lowercase = in_class(table, "lowercase")
    assert lowercase["num_tokens"] == 10 * (MAX_WINDOWS * 63 - 1)
    assert lowercase["value"] == pytest.approx(1.5, abs=0.01)
    assert in_class(table, "end_of_document")["num_tokens"] == 10
    assert done[-1] == (10 * MAX_WINDOWS, 10 * MAX_WINDOWS)


def test_a_sample_of_documents() -> None:
    table = increments(lookup_model(TABLE), ["a"] * 30 + ["b"] * 30, num_documents=20)
    assert in_class(table, "lowercase")["num_tokens"] == 20
    assert in_class(table, "lowercase")["value"] == 1.5


def test_where_the_first_layer_does_not_rotate_there_is_no_vocabulary() -> None:
    model = tiny("cohere2", num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"], vocab_size=257)
    stir(attach(model, IncrementConfig(scope="per_layer")))
    table = increments(model, ["abc"] * 10, tokenizer=byte_tokenizer())
    over = table.filter(over="vocabulary")
    assert over["value"].to_list() == [None]
    assert "the first layer with increments is layer 1" in over["note"].item()
    assert in_class(table, "lowercase", layer=1)["num_tokens"] == 30


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    model = lookup_model(TABLE)
    with pytest.raises(NotMeasurableError, match="9 documents with text give no interval; give at least 10"):
        increments(model, ["ab"] * 9 + [""])
    with pytest.raises(NotMeasurableError, match="0 documents with text"):
        increments(model, [])
    with pytest.raises(NoIncrementsError):
        increments(copying_model(increments=None), ["ab"] * 10)
    with pytest.raises(ConfigError, match="classes are 'words'; give 'text', or 'code'"):
        increments(model, ["ab"] * 10, classes="words")
    graft = load(make_base(tmp_path / "base"))
    attach(graft, IncrementConfig(scope="shared"))
    with pytest.raises(ConfigError, match="'code' for a model that reads bytes"):
        increments(graft, ["ab"] * 10, classes="code")

"""Increments over a vocabulary, against forward passes and against runs that agree or differ by construction."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import PreTrainedModel

from howfar.corpus.corpus import Corpus
from howfar.corpus.windows import Windows
from howfar.errors import NoIncrementsError, NotMeasurableError
from howfar.measures.documents import documents_of
from howfar.measures.vocabulary import agreement, movers, vocabulary, vocabulary_increments
from howfar.models.configuration import HowFarConfig
from howfar.models.loading import load, tokenizer_of
from howfar.models.modeling import HowFarForCausalLM
from howfar.models.origin import origin_of
from howfar.positions import IncrementConfig, attach, record
from support.grafts import make_base, make_text
from support.lookup import lookup_model
from support.models import stir, tiny
from support.training import text_corpus

EOS = 0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


@pytest.fixture
def model(base: Path) -> PreTrainedModel:
    """A graft that has seen every token but the last fifty, the later ones more often."""
    made = load(base)
    stir(attach(made, IncrementConfig(scope="shared")))
    counts = torch.arange(320)
    counts[270:] = 0
    counts[EOS] = 40
    origin_of(made).counts = counts
    return made


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox"])
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_the_vocabulary_is_what_forward_passes_use(name: str, scope: str) -> None:
    model = tiny(name)
    stir(attach(model, IncrementConfig(scope=scope)))
    found = vocabulary_increments(model, 60, batch_size=7)
    tokens = torch.randperm(60)[None]
    with torch.no_grad(), record(model) as recording:
        model(tokens)
    assert found.std() > 0
    np.testing.assert_allclose(found[:, tokens[0]], recording.increments[0][0], rtol=1e-5)


def test_heads_are_told_apart() -> None:
    model = tiny("llama")
    stir(attach(model, IncrementConfig(scope="shared", per_head=True)))
    assert vocabulary_increments(model, 10).shape == (2, 10)


def test_drift_is_relative_to_the_mean_over_what_was_read(model: PreTrainedModel) -> None:
    table = vocabulary(model)
    increments = vocabulary_increments(model, 320)[0].astype(float)
    counts = table["count"].to_numpy()
    mean = (increments * counts).sum() / counts.sum()
    np.testing.assert_allclose(table["drift"], increments / mean - 1, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.average(table["drift"], weights=counts), 0, atol=1e-6)
    assert table.filter(pl.col("special"))["token"].to_list() == ["<|endoftext|>"]
    words = dict(zip(table["token"], table["class"], strict=True))
    assert words[" the"] == "function_word"
    assert words[" cat"] == "word_start"
    assert words["."] == "punctuation"
    assert words["<0xE7>"] in ("word_start", "continuation")


def test_movers_are_ranked_and_leave_out_what_was_never_seen(model: PreTrainedModel) -> None:
    table = vocabulary(model)
    ranked = movers(table, num=5)
    overall = ranked.filter(among="all")
    seen = table.filter((pl.col("count") > 0) & ~pl.col("special")).sort("drift")
    assert overall.filter(direction="up")["token_id"].to_list() == seen["token_id"].to_list()[:-6:-1]
    assert overall.filter(direction="down")["token_id"].to_list() == seen["token_id"].to_list()[:5]
    assert overall.filter(direction="up")["rank"].to_list() == [1, 2, 3, 4, 5]
    assert ranked["token_id"].max() < 270
    assert ranked.filter(among="special")["token_id"].to_list() == [EOS]
    assert movers(table, min_count=200)["count"].min() >= 200


def test_runs_agree_with_themselves_and_not_with_their_opposite(model: PreTrainedModel) -> None:
    table = vocabulary(model)
    opposite = table.with_columns(increment=2 - pl.col("increment"))
    unrelated = table.with_columns(pl.col("increment").shuffle(seed=0))
    found = agreement({"a": table, "same": table, "opposite": opposite, "unrelated": unrelated})
    by_pair = {(row["first"], row["second"]): row for row in found.iter_rows(named=True)}
    assert len(by_pair) == 6
    assert by_pair["a", "same"]["spearman"] == pytest.approx(1)
    assert by_pair["a", "opposite"]["spearman"] == pytest.approx(-1)
    assert by_pair["a", "unrelated"]["low"] < 0 < by_pair["a", "unrelated"]["high"]
    assert by_pair["a", "same"]["num_tokens"] == (table["count"] >= 5).sum()


def test_counts_come_from_a_corpus_where_the_model_knows_none(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howfar.measures.vocabulary.TOKENS_AT_ONCE", 7)
    model = load(base)
    stir(attach(model, IncrementConfig(scope="shared")))
    unknown = vocabulary(model)
    assert unknown["count"].null_count() == 320
    with pytest.raises(NotMeasurableError, match="give its training corpus to `vocabulary`"):
        movers(unknown)
    corpus = text_corpus([str(make_text(tmp_path))], str(base), tmp_path / "corpus")
    counted = vocabulary(model, corpus)
    assert counted["count"].sum() == len(corpus.train.tokens)
    assert counted.filter(token_id=EOS)["count"].item() == corpus.train.num_documents + 1


def test_of_a_corpus_the_windows_that_a_run_read_are_counted(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    model = lookup_model({})
    model.name_or_path = str(tmp_path)
    corpus = make_corpus(en=(["ab" * 300, "cd" * 300], ["ab"]))
    record = {"corpus": {"hash": corpus.hash}, "step": 3, "windows_per_step": 2}
    record["recipe"] = {"seed": 7, "model": {"max_position_embeddings": 20}}
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "training.json").write_text(json.dumps(record), encoding="utf-8")
    windows = Windows(corpus.train, 20, 7, 6)
    read = np.concatenate([windows[number] for number in range(6)])
    counts = vocabulary(model, corpus).filter(head=0)["count"].to_numpy()
    assert counts.tolist() == np.bincount(read, minlength=len(counts)).tolist()


def test_a_corpus_of_other_tokens_is_not_counted(
    base: Path, model: PreTrainedModel, tmp_path: Path, make_corpus: Callable[..., Corpus]
) -> None:
    with pytest.raises(NotMeasurableError, match="tokenized by 'bytes', not by this model's tokenizer"):
        vocabulary(model, make_corpus(en=(["the cat sat on a mat"], [])))
    # As many tokens, but others.
    other = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    ids = other["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    shutil.copytree(base, tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(other), encoding="utf-8")
    corpus = text_corpus([str(make_text(tmp_path))], str(tmp_path / "other"), tmp_path / "subwords")
    with pytest.raises(NotMeasurableError, match="name the one that it was trained on"):
        vocabulary(model, corpus)
    with pytest.raises(NotMeasurableError, match="name a corpus of bytes"):
        list(documents_of(corpus, tokenizer_of(model), split="train"))


def test_a_corpus_of_tokens_that_the_model_lacks_is_refused(base: Path, model: PreTrainedModel, tmp_path: Path) -> None:
    corpus = text_corpus([str(make_text(tmp_path))], str(base), tmp_path / "corpus")
    model.resize_token_embeddings(int(corpus.train.tokens.max()))
    with pytest.raises(NotMeasurableError, match=r"holds token id \d+, but the model knows ids up to \d+; name"):
        vocabulary(model, corpus)


def test_bytes_have_classes_of_their_own() -> None:
    model = HowFarForCausalLM(
        HowFarConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    stir(attach(model, IncrementConfig(scope="shared")))
    table = vocabulary(model)
    classes = dict(zip(table["token_id"], table["class"], strict=True))
    expected = {97: "lowercase", 32: "space", 0x80: "continuation_byte", 0xE4: "lead_byte", 256: "end_of_document"}
    assert {token: classes[token] for token in expected} == expected
    assert table["token"][0xE4] == "<0xE4>"


def test_what_cannot_be_measured_is_said(base: Path, model: PreTrainedModel) -> None:
    with pytest.raises(NoIncrementsError):
        vocabulary(load(base))
    later = tiny("cohere2", num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"])
    attach(later, IncrementConfig(scope="per_layer"))
    with pytest.raises(NotMeasurableError, match="the first layer with increments is layer 1"):
        vocabulary_increments(later, 10)
    table = vocabulary(model)
    with pytest.raises(NotMeasurableError, match="no token occurred 10000 times"):
        movers(table, min_count=10_000)
    heads = pl.concat([table, table.with_columns(head=pl.lit(1, pl.Int64))])
    with pytest.raises(NotMeasurableError, match="x has increments per head; compare one head at a time"):
        agreement({"x": heads, "y": table})
    with pytest.raises(NotMeasurableError, match="x and y have different vocabularies"):
        agreement({"x": table, "y": table.with_columns(token=pl.lit("?"))})

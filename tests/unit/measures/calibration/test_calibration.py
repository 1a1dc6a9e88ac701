"""Calibration: planted increments are scored right, planted nulls are left alone, and tiny models are trained."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures.calibration import CEILING, Setup, calibration, excess_loss, scores, verdict
from howfar.measures.calibration.planted import Lexicon, PlantedDocument, predictable, random, with_random_boundaries
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import override
from support.lookup import lookup_model

SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1}
TINY = Setup(
    num_units=4,
    num_training_documents=30,
    num_documents=12,
    num_characters=40,
    model=(*SIZES.items(), ("max_position_embeddings", 64)),
    num_steps=3,
    batch_size=2,
)
LEXICON = Lexicon(("xab", "xbcd", "xdca"))  # every unit begins with an x, and has no other


def model() -> HowFarForCausalLM:
    torch.manual_seed(0)
    options = {**SIZES, "max_position_embeddings": 64, "increments": {"scope": "per_layer", "start": "random"}}
    return HowFarForCausalLM(HowFarConfig(**options)).eval()


def documents_of(lexicon: Lexicon, count: int = 12) -> list[PlantedDocument]:
    generator = np.random.default_rng(0)
    return [predictable(generator, lexicon, 50) for _ in range(count)]


def corpus_of(make_corpus: Callable[..., Corpus], documents: list[PlantedDocument]) -> Corpus:
    texts = [document.text for document in documents]
    return make_corpus(planted=(["something else"], texts))


def row_of(table: pl.DataFrame, score: str, layer: int | None = None, scored_at: str | None = None) -> dict:
    chosen = table.filter(
        pl.col("quantity") == "auc",
        pl.col("score") == score,
        pl.col("layer").eq_missing(layer),
        pl.col("scored_at").eq_missing(scored_at),
    )
    return chosen.row(0, named=True)


def test_planted_increments_are_scored_right(make_corpus: Callable[..., Corpus]) -> None:
    """Layer 1 goes far where a unit begins, and hardly at all just before; layer 0 knows nothing."""
    documents = documents_of(LEXICON)
    planted_model = lookup_model({}, {ord("x"): 5.0} | {ord(last): 0.5 for last in "b"})
    table = scores(planted_model, corpus_of(make_corpus, documents), documents, planted=True)
    row = row_of(table, "increment", 1, "lead byte")
    assert (row["value"], row["verdict"], row["planted"]) == (1.0, "found", True)
    row = row_of(table, "increment", 0, "lead byte")
    assert (row["value"], row["verdict"]) == (0.5, "not found")
    # The unit "xab" alone ends in b, so what is near stands before a boundary: fewer than 0.5.
    row = row_of(table, "increment", 1, "byte before")
    assert row["value"] < 0.5
    assert row["verdict"] == "found, reversed"
    assert set(table.filter(quantity="auc gain")["verdict"]) == {None}
    assert "whole character" not in set(table["scored_at"])


def test_the_ceiling_is_that_of_the_generator(make_corpus: Callable[..., Corpus]) -> None:
    documents = documents_of(Lexicon(("abc", "abd", "ca")))
    table = scores(model(), corpus_of(make_corpus, documents), documents, planted=True)
    # The choice of the third letter of "ab" has ln 2, that of a unit ln 3 - 2/3 ln 2; all others are certain.
    entropies, begins = [], []
    for document in documents:
        entropies += document.entropy_nats[1:].tolist()
        begins += [place in document.segmentation.boundaries for place in range(1, len(document.text))]
    values, labels = np.array(entropies), np.array(begins)
    wins = values[labels][:, None] > values[~labels]
    ties = values[labels][:, None] == values[~labels]
    assert row_of(table, CEILING)["value"] == pytest.approx((wins + ties / 2).mean())
    assert row_of(table, CEILING)["num_gaps"] == len(labels)


def test_where_nothing_was_planted_nothing_is_found(make_corpus: Callable[..., Corpus]) -> None:
    generator = np.random.default_rng(2)
    documents = [random(generator, 100) for _ in range(20)]
    found = scores(model(), corpus_of(make_corpus, documents), documents, planted=False)
    assert row_of(found, CEILING)["value"] == 0.5
    of_increments = found.filter(quantity="auc", score="increment")
    assert len(of_increments) == 4
    assert set(of_increments["verdict"]) == {"nothing, rightly"}
    assert (of_increments["value"] - 0.5).abs().max() < 0.05


def test_an_instrument_that_sees_what_is_not_there_is_caught(make_corpus: Callable[..., Corpus]) -> None:
    """Boundaries at random, and increments that look them up."""
    generator = np.random.default_rng(3)
    documents = [with_random_boundaries(generator, document) for document in documents_of(LEXICON)]

    def cheat(layer: int, increments: torch.Tensor) -> torch.Tensor:
        found = torch.ones_like(increments)
        for row in range(len(increments)):
            found[row, :, [1 + place for place in documents[order[row]].segmentation.boundaries]] = 3.0
        return found

    # The longest documents are read first, equal ones in their order; each fits one window.
    order = sorted(range(len(documents)), key=lambda number: -len(documents[number].text))
    with override(cheating := model(), cheat):
        table = scores(cheating, corpus_of(make_corpus, documents), documents, planted=False)
    row = row_of(table, "increment", 1, "lead byte")
    assert (row["value"], row["verdict"]) == (1.0, "false alarm")


def test_excess_loss_is_that_over_the_generator(make_corpus: Callable[..., Corpus]) -> None:
    """A model that expects all 257 tokens alike loses ln 257 a byte."""
    documents = documents_of(LEXICON)
    uniform = lookup_model({}, {})
    found = excess_loss(uniform, corpus_of(make_corpus, documents), documents).row(0, named=True)
    least = sum(document.surprisal_nats.sum() for document in documents)
    num_bytes = sum(len(document.text) for document in documents)
    assert found["value"] == pytest.approx(np.log(257) - least / num_bytes, abs=1e-5)
    assert found["low"] <= found["value"] <= found["high"]


def test_verdicts() -> None:
    auc = {"quantity": "auc", "low": 0.6, "high": 0.7}
    assert verdict(auc, True) == "found"
    assert verdict(auc, False) == "false alarm"
    assert verdict(auc | {"low": 0.3, "high": 0.4}, True) == "found, reversed"
    assert verdict(auc | {"low": 0.4, "high": 0.6}, True) == "not found"
    assert verdict(auc | {"low": 0.4, "high": 0.6}, False) == "nothing, rightly"
    # What holds for all layers at once goes before what holds for one.
    assert verdict(auc | {"low_together": 0.45, "high_together": 0.8}, False) == "nothing, rightly"
    gain = {"quantity": "auc gain", "low": 0.01, "high": 0.02}
    assert verdict(gain, False) == "false alarm"
    assert verdict(gain | {"low": -0.01}, False) == "nothing, rightly"
    assert verdict(gain, True) is None


def test_models_are_trained_and_asked() -> None:
    calls: list[tuple[int, int]] = []
    table = calibration(setup=TINY, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    asked = table.filter(quantity="auc", score=CEILING).select("text", "planted", "seed").rows()
    assert sorted(asked) == [
        ("marked", True, 0),
        ("predictable", False, 0),
        ("predictable", True, 0),
        ("random", False, 0),
    ]
    losses = table.filter(quantity="excess loss")
    assert losses["text"].to_list() == ["marked", "predictable", "random"]
    assert losses["value"].min() > 1  # three steps teach next to nothing
    assert set(table.filter(pl.col("score") == "increment")["layer"]) == {0, 1}


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second = (calibration(kinds=["random"], seed=4, setup=TINY) for _ in range(2))
    assert first.equals(second)
    assert set(first["seed"]) == {4}


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ({"num_seeds": 0}, {"kinds": []}, {"kinds": ["odd"]}):
        with pytest.raises(ConfigError, match="give 1 seed or more and kinds from marked"):
            calibration(**wrong)

"""Increments beside those of random networks: planted ones are found, what any network would mark is not."""

import random
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from howfar.measures.boundaries import boundaries
from howfar.measures.boundaries.gaps import find_gaps
from howfar.measures.boundaries.random_networks import NOT_TRAINED, _compare, _some_documents
from howfar.measures.boundaries.targets import target_named
from howfar.models.configuration import HowFarConfig
from howfar.models.loading import tokenizer_of
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig, increments_of
from howfar.positions.network import IncrementNetwork
from howfar.text.segmentation import Segmentation
from support.lookup import Table, lookup_model

CHARACTERS = [chr(0x4E00 + number) for number in range(60)]  # E4 B8 80 to E4 B8 BB: only the last byte differs
BEGINNING = set(random.Random(0).sample(CHARACTERS, 30))
OTHERS = sorted(set(CHARACTERS) - BEGINNING)


def documents(num: int = 20, length: int = 30, seed: int = 0) -> list[Segmentation]:
    """Words begin with the characters of `BEGINNING`, which stand nowhere else."""
    generator = random.Random(seed)
    texts = ["".join(generator.choices(CHARACTERS, k=length)) for _ in range(num)]
    return [Segmentation(text, tuple(i for i in range(1, length) if text[i] in BEGINNING)) for text in texts]


def last_byte(character: str) -> int:
    return character.encode()[-1]


LONGER: Table = {last_byte(character): 2.0 for character in BEGINNING}


def rows_of(model: Any, texts: list[Segmentation], quantity: str = "auc", **options: Any) -> pl.DataFrame:
    table = boundaries(model, texts, **{"fitted": False, "random_networks": 40, **options})
    return table.filter(score="increment", quantity=quantity)


def row_at(rows: pl.DataFrame, scored_at: str, layer: int | None = 0) -> dict[str, Any]:
    found = rows.filter(pl.col("layer").eq_missing(layer), scored_at=scored_at)
    return found.row(0, named=True)


@pytest.mark.parametrize("scope", ["per_layer", "shared"])
def test_what_only_training_can_mark_is_found(scope: str) -> None:
    layer = 0 if scope == "per_layer" else None
    row = row_at(rows_of(lookup_model(LONGER, {}, scope=scope), documents()), "whole character", layer)
    assert row["value"] == 1.0
    assert 0.2 < row["random_low"] < 0.5 < row["random_high"] < 0.8
    assert row["p_random"] == row["p_random_together"] == pytest.approx(1 / 41)
    assert row["note"] is None


def test_what_any_network_would_mark_is_not() -> None:
    # Two lead bytes: whatever the network, one of the two steps is longer, so every AUC is 0 or 1.
    generator = random.Random(0)
    starts = [[generator.random() < 0.5 for _ in range(30)] for _ in range(20)]
    texts = ["".join("一" if start else "唐" for start in of_text) for of_text in starts]
    segmented = [
        Segmentation(text, tuple(i for i in range(1, 30) if of_text[i]))
        for text, of_text in zip(texts, starts, strict=True)
    ]
    row = row_at(rows_of(lookup_model({0xE4: 3.0}), segmented), "lead byte")
    assert (row["value"], row["random_low"], row["random_high"], row["p_random_together"]) == (1.0, 0.0, 1.0, 1.0)
    assert row["note"] == NOT_TRAINED


def test_a_place_where_nothing_differs_is_as_far_as_any() -> None:
    row = row_at(rows_of(lookup_model(LONGER), documents()), "lead byte")
    assert (row["value"], row["random_low"], row["random_high"], row["p_random_together"]) == (0.5, 0.5, 0.5, 1.0)


def test_the_correction_is_for_all_layers() -> None:
    alone, among = (
        rows_of(lookup_model({last_byte(c): 2.0 for c in sorted(BEGINNING)[:18]}, *more), documents())
        for more in ([], [{}] * 9)
    )
    one, other = (row_at(rows, "whole character") for rows in (alone, among))
    assert one["value"] == other["value"]
    assert one["p_random"] == pytest.approx(1 / 41)
    assert one["p_random_together"] <= other["p_random_together"]


def test_random_networks_are_not_told_from_random_networks() -> None:
    low = []
    for seed in range(20):
        model, generator = lookup_model({}, {}), torch.Generator().manual_seed(1000 + seed)
        for owner in increments_of(model).owners:
            owner.increments = IncrementNetwork(264, 1, IncrementConfig(), normalise=True)
            for layer in (owner.increments.hidden, owner.increments.output):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
        rows = rows_of(model, documents(num=12, length=12, seed=seed), random_networks=39)
        low.append(rows["p_random_together"].min() <= 0.05)  # by construction in at most 5% of cases
    assert sum(low) <= 4


def test_the_p_value_is_uniform_where_nothing_is_planted() -> None:
    generator = np.random.default_rng(0)
    scales = np.array([0.01, 0.05, 0.2])
    together, alone = [], []
    for _ in range(1000):
        *drawn, own = 0.5 + generator.uniform(-1, 1, (20, 3)) * scales
        rows = [{"value": value, "low_together": None, "high_together": None} for value in own]
        _compare(rows, list(np.array(drawn).T))
        together.append(min(row["p_random_together"] for row in rows))
        alone.append(rows[0]["p_random"])
    for lowest in (together, alone):
        assert np.mean(np.array(lowest) <= 0.1) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("most_gaps", "most_tokens"), [(58, 10_000), (5_000, 58 * 4), (5_000, 1)])
def test_some_documents_are_read_where_there_are_many_gaps_whichever_of_them_have_gaps(
    most_gaps: int, most_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("howfar.measures.boundaries.random_networks.MAX_GAPS", most_gaps)
    model = lookup_model(LONGER)
    options = {"tokenizer": tokenizer_of(model), "max_gaps": 1000}
    gaps = find_gaps(model, documents(), target_named("chinese-words"), **options)
    gaps = gaps.among(gaps.documents % 2 == 1)  # all gaps of the others might lie inside tokens
    chosen = np.unique(_some_documents(gaps, most_tokens).documents)
    assert chosen.tolist() == ([1] if most_tokens == 1 else [1, 11])


@pytest.mark.parametrize(("scope", "per_head"), [("per_layer", False), ("per_layer", True), ("shared", False)])
def test_it_is_what_a_loop_finds(scope: str, per_head: bool) -> None:
    texts, width, num_networks = documents(num=12, length=8), 64, 5
    layers: list[int | None] = [None] if scope == "shared" else [0, 1]
    num_heads = 2 if per_head else 1
    config = HowFarConfig(
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        increments={"scope": scope, "per_head": per_head, "start": "random"},
    )
    model = HowFarForCausalLM(config).eval()
    rows = rows_of(model, texts, random_networks=num_networks, seed=3)
    assert len(rows) == 3 * num_heads * len(layers)

    ids = torch.tensor([[model.config.bos_token_id, *text.text.encode()] for text in texts])
    with torch.inference_mode():
        entering = model(ids, output_hidden_states=True).hidden_states
    labels = np.array([place in text.boundaries for text in texts for place in range(1, 8)])
    generator = torch.Generator().manual_seed(3)
    for index, layer in enumerate(layers):
        vectors = entering[index][:, 1:]  # [text, byte, width]
        if scope == "per_layer":
            vectors = vectors / vectors.square().mean(-1, keepdim=True).sqrt()
        else:
            vectors = vectors / vectors[:, 2:].square().mean().sqrt()
        networks = []
        for _ in range(num_networks):
            hidden = torch.empty(width // 4, width).normal_(std=width**-0.5, generator=generator)
            output = torch.empty(num_heads, width // 4).normal_(std=(width // 4) ** -0.5, generator=generator)
            logits = nn.functional.gelu(vectors @ hidden.T) @ output.T
            networks.append(10 * torch.sigmoid(logits.double() - np.log(9)))
        drawn = torch.stack(networks).movedim(-1, 0).numpy()  # [head, network, text, byte]
        places = {
            "lead byte": drawn[..., 3::3],
            "whole character": drawn[..., 3:].reshape(*drawn.shape[:3], 7, 3).sum(-1),
            "byte before": drawn[..., 2:-1:3],
        }
        for place, scores in places.items():
            for head, of_head in enumerate(scores):
                aucs = [roc_auc_score(labels, network.ravel()) for network in of_head]
                row = rows.filter(pl.col("layer").eq_missing(layer), scored_at=place, head=head).row(0, named=True)
                assert row["random_low"] == pytest.approx(np.quantile(aucs, 0.025), abs=0.01)
                assert row["random_high"] == pytest.approx(np.quantile(aucs, 0.975), abs=0.01)


@pytest.mark.parametrize("options", [{"increments": {}}, {"encoding": {"name": "random"}}])
def test_there_is_no_comparison_where_none_is_asked_or_nothing_is_trained(options: dict[str, Any]) -> None:
    config = HowFarConfig(hidden_size=16, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, **options)
    rows = rows_of(HowFarForCausalLM(config).eval(), documents(), random_networks=0 if "increments" in options else 5)
    assert rows["value"].null_count() == 0
    assert (
        rows.select("random_low", "random_high", "p_random", "p_random_together").null_count().row(0)
        == (len(rows),) * 4
    )

from collections.abc import Callable

import polars as pl
import pytest
import torch

from howfar.corpus.corpus import Corpus
from howfar.measures.attention import attention
from howfar.measures.documents import SourcedTexts
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import attach, override
from howfar.text.tokenizer import byte_tokenizer
from support.copying import DISTANCE, INCREMENT, LAG, copying_model, repeating_texts
from support.models import tiny

LENGTH = 60
TEXTS = repeating_texts(12, length=LENGTH)


def value(table: pl.DataFrame, quantity: str, unit: str, layer: int | None, head: int | None = 0) -> float:
    found = table.filter(
        pl.col("layer").eq_missing(layer), pl.col("head").eq_missing(head), quantity=quantity, unit=unit
    )
    return found["value"].item()


def test_known_distances() -> None:
    table = attention(copying_model(blind_second_layer=True), TEXTS)
    # Even attention of a query to itself and the t tokens before it is t / 2 away on average.
    even = sum(t / 2 for t in range(1, LENGTH + 1)) / LENGTH
    for unit, scale in (("tokens", 1.0), ("positions", INCREMENT)):
        assert value(table, "distance", unit, 0) == pytest.approx(scale * LAG, rel=0.02)  # but for the first few
        assert value(table, "distance", unit, 1) == pytest.approx(scale * even, rel=1e-5)
        assert value(table, "distance of even attention", unit, 0) == pytest.approx(scale * even)
    assert value(table, "increment", "positions", 0) == pytest.approx(INCREMENT)
    assert set(table["n"]) == {len(TEXTS)}


def test_constant_increments_go_along_with_nothing() -> None:
    table = attention(copying_model(), TEXTS)
    notes = table.filter(pl.col("quantity").str.contains("correlation"))
    assert notes["value"].null_count() == notes.height > 0
    assert notes["note"].str.starts_with("not measurable: ").all()


def test_finds_a_planted_correlation() -> None:
    """The head looks farther back, in tokens, the smaller the increments around it are."""
    model = copying_model()
    generator = torch.Generator().manual_seed(0)

    def planted(layer: int, own: torch.Tensor) -> torch.Tensor:
        # Stretches of ten tokens with an increment of their own.
        steps = 1 + 2 * torch.rand(own.shape[0], 1, 1 + own.shape[-1] // 10, generator=generator)
        return steps.repeat_interleave(10, dim=-1)[..., : own.shape[-1]]

    with override(model, planted):
        table = attention(model, TEXTS)
    row = table.filter(quantity="rank correlation over queries", unit="tokens")
    assert row["high"].item() < -0.5


def test_what_only_grows_with_the_place_correlates_with_nothing() -> None:
    """Increments and distances of even attention both grow along a window, and are noise at each place."""
    model = copying_model(blind_second_layer=True)
    generator = torch.Generator().manual_seed(0)

    def growing(layer: int, own: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(own.shape, generator=generator)
        return 1 + torch.arange(own.shape[-1]) / 20 + noise

    with override(model, growing):
        table = attention(model, TEXTS)
    row = table.filter(quantity="rank correlation over queries", unit="positions", layer=0).row(0, named=True)
    blind = table.filter(quantity="rank correlation over queries", unit="tokens", layer=1)
    assert (
        blind["note"].item().startswith("not measurable: a variable is the same")
    )  # the place says all of the distance
    assert abs(row["value"]) < 0.5


def test_what_only_differs_between_languages_correlates_with_nothing(make_corpus: Callable[..., Corpus]) -> None:
    """Steps of 1 in one language and of 2 in the other: the head looks back by 8 positions, so by 8 and by 4 tokens."""
    model, texts = copying_model(), repeating_texts(16)
    languages = {"small": texts[:8], "large": [text.upper() for text in texts[8:]]}
    read: list[torch.Tensor] = []

    def planted(layer: int, own: torch.Tensor) -> torch.Tensor:
        return torch.where(read[-1][:, None, -1:] < ord("a"), 2.0, 1.0).expand_as(own)

    handle = model.register_forward_pre_hook(lambda _, __, given: read.append(given["input_ids"]), with_kwargs=True)
    with handle, override(model, planted):
        both = attention(model, [text for language in languages.values() for text in language])
        apart = [
            attention(model, make_corpus(**{name: (texts, texts) for name, texts in languages.items()})),
            attention(model, SourcedTexts(languages)),
        ]
    query = {"quantity": "rank correlation over queries", "unit": "tokens"}
    assert both.filter(**query)["high"].item() < -0.5
    for table in apart:
        assert table.filter(**query)["note"].item().startswith("not measurable: a variable is the same")


def test_distances_relative_to_even_attention() -> None:
    table = attention(copying_model(blind_second_layer=True), TEXTS)
    even = sum(t / 2 for t in range(1, LENGTH + 1)) / LENGTH
    for unit in ("tokens", "positions"):
        assert value(table, "distance over even attention", unit, 1) == pytest.approx(1.0, rel=1e-5)
        assert value(table, "distance over even attention", unit, 0) == pytest.approx(LAG / even, rel=0.02)


def test_correlates_heads_that_have_increments_of_their_own() -> None:
    torch.manual_seed(0)
    config = HowFarConfig(
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=32,
        initializer_range=0.5,
        increments={"per_head": True, "start": "random"},
    )
    model = HowFarForCausalLM(config).eval()
    before = model.config._attn_implementation
    table = attention(model, TEXTS)
    assert table.filter(quantity="distance", unit="tokens").height == 3 * 8
    means = table.filter(quantity="increment").sort("layer", "head")["value"].to_numpy().reshape(12, 2)
    assert (means[:, 0] == means[:, 1]).all()  # two query heads share a key head and its increments
    over_heads = table.filter(quantity="correlation over heads", unit="tokens")
    assert -1 < over_heads["low"].item() < over_heads["value"].item() < over_heads["high"].item() < 1
    assert model.config._attn_implementation == before


def test_heads_that_share_a_key_head_are_one_case() -> None:
    options = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    config = HowFarConfig(
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=4,
        initializer_range=0.5,
        increments={"per_head": True, "start": "random"},
        **options,
    )
    row = attention(HowFarForCausalLM(config).eval(), TEXTS).filter(quantity="correlation over heads", unit="tokens")
    assert row["value"].item() is None
    assert "8 pairs cannot be correlated; give at least 10" in row["note"].item()


def test_too_few_layers_to_correlate() -> None:
    row = attention(copying_model(), TEXTS).filter(quantity="correlation over layers", unit="tokens")
    assert row["value"].item() is None
    assert "1 pairs cannot be correlated; give at least 10" in row["note"].item()


def test_a_plain_model_has_distances_in_tokens() -> None:
    table = attention(copying_model(increments=None), TEXTS)
    quantities = {"distance", "distance of even attention", "distance over even attention"}
    assert set(table["quantity"]) == quantities
    assert set(table["unit"]) == {"tokens"}
    assert value(table, "distance", "tokens", 0) == pytest.approx(DISTANCE, rel=0.05)


@pytest.mark.parametrize("name", ["gpt_oss", "gemma3_text", "olmo3"])
def test_sinks_take_no_part_and_sliding_windows_bound_even_attention(name: str) -> None:
    model = tiny(name, vocab_size=257)
    attach(model)
    table = attention(model, TEXTS, tokenizer=byte_tokenizer())
    within = sum(min(t, 5) / 2 for t in range(1, LENGTH + 1)) / LENGTH
    everywhere = sum(t / 2 for t in range(1, LENGTH + 1)) / LENGTH
    for head in range(4):
        assert value(table, "distance of even attention", "tokens", 0, head) == pytest.approx(within)
        assert value(table, "distance of even attention", "tokens", 1, head) == pytest.approx(everywhere)
        assert 0 < value(table, "distance", "tokens", 0, head) < 5
        assert value(table, "distance over even attention", "tokens", 0, head) == pytest.approx(1, rel=0.5)
        # Nothing was learned, so a head looks about as far as an even one does, whatever share a sink takes.
        assert value(table, "distance", "tokens", 1, head) == pytest.approx(everywhere, rel=0.5)


def test_positions_that_are_no_sums_have_distances_in_tokens_only() -> None:
    table = attention(copying_model(increments={"accumulate": False}), TEXTS)
    assert set(table["unit"]) == {"tokens"}
    assert not table.filter(pl.col("quantity").str.contains("correlation|increment")).height


def test_a_head_that_sees_no_token_but_its_own_has_a_note_in_place_of_a_quotient() -> None:
    model = tiny("gemma3_text", vocab_size=257, layer_types=["sliding_attention", "full_attention"], sliding_window=1)
    table = attention(model, ["ab cd"] * 12, tokenizer=byte_tokenizer())
    alone = table.filter(pl.col("value").is_null())
    assert set(alone["quantity"]) == {"distance over even attention"}
    assert set(alone["layer"]) == {0}
    assert alone["note"].str.starts_with("not measurable: the head sees no token but its own").all()


def test_intervals_of_distances_and_increments_do_not_reach_what_cannot_be() -> None:
    model = copying_model(blind_second_layer=True)

    def planted(layer: int, own: torch.Tensor) -> torch.Tensor:
        steps = torch.full_like(own, 0.0)
        steps[: own.shape[0] // 6, :, own.shape[-1] // 2 :] = 9.0  # a few texts hold nearly all of the distance
        return steps

    with override(model, planted):
        table = attention(model, TEXTS, batch_size=12)
    found = table.filter(pl.col("low").is_not_null(), ~pl.col("quantity").str.contains("correlation"))
    assert (found["low"] >= 0).all()
    assert (found.filter(quantity="increment")["high"] <= 10).all()

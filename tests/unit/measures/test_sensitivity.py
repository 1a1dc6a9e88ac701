import random

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from howfar.charts.measures.sensitivity import draw_sensitivity
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.sensitivity import MEASURE, sensitivity
from howfar.positions.attachment import positions_of
from howfar.text.tokenizer import byte_tokenizer
from support.copying import DISTANCE, LETTERS, copying_model
from support.models import tiny

SMALL = {"num_gaps": 1, "context": 20, "horizon": 8}


def texts(count: int = 12, length: int = 60) -> list[str]:
    """Letters that repeat every `DISTANCE + 1`, which a plain copying model foresees, and a space among them."""
    generator = random.Random(0)
    return [("".join(generator.sample(LETTERS, int(DISTANCE))) + " ") * (length // 9) for _ in range(count)]


def cells(table: pl.DataFrame, layer: int | None, change: str) -> pl.DataFrame:
    found = table.filter(pl.col("layer").eq_missing(layer), quantity="change of the loss", change=change)
    assert found.height > 0
    return found


@pytest.fixture(scope="module")
def planted() -> pl.DataFrame:
    """Of a plain model whose first layer looks a known way back, and whose second one does not care."""
    torch.manual_seed(0)
    return sensitivity(copying_model(increments=None, blind_second_layer=True), texts(), **SMALL)


def test_finds_a_planted_effect_and_no_planted_null(planted: pl.DataFrame) -> None:
    for change in ("closed", "widened"):
        assert cells(planted, 0, change)["low"].min() > 0.5  # another letter is copied, for all next tokens
        assert cells(planted, 1, change).select(pl.col("value", "low", "high").abs().max()).row(0) == (0, 0, 0)
        together, first = cells(planted, None, change), cells(planted, 0, change)
        assert together["value"].to_list() == pytest.approx(first["value"].to_list())
    assert set(planted["class"].drop_nulls()) == {"lowercase", "space"}


def test_reliability_is_told_first(planted: pl.DataFrame) -> None:
    assert planted["quantity"][:2].to_list() == ["split-half reliability"] * 2
    assert planted["low"][:2].min() > 0.9
    blind = sensitivity(tiny_blind(), texts(), **SMALL)
    assert blind["note"][:2].to_list() == ["not measurable: the cells do not differ"] * 2
    assert blind.filter(quantity="change of the loss")["value"].abs().max() == 0


def tiny_blind() -> torch.nn.Module:
    """A plain model that no position reaches."""
    model = copying_model(increments=None)
    model.model.layers[0].self_attn.q_proj.weight.data.zero_()
    return model


def test_its_own_samples_cost_a_model_something_on_average() -> None:
    """A change makes a worse prediction of them: the null is a divergence, and not below 0 but by chance."""
    torch.manual_seed(0)
    table = sensitivity(copying_model(increments=None), texts(), **SMALL, seed=3)
    assert cells(table, 0, "closed")["null"].min() > 0


@pytest.mark.parametrize("habit", [{"temperature": 0.01}, {"top_k": 1}, {"eos_token_id": ord(" ")}])
def test_samples_are_of_the_model_and_not_of_its_habits(planted: pl.DataFrame, habit: dict[str, object]) -> None:
    """Settings for chatting come with many models, and `generate` follows them."""
    model = copying_model(increments=None, blind_second_layer=True)
    model.generation_config.update(do_sample=True, **habit)
    before = model.generation_config.to_dict()
    assert sensitivity(model, texts(), **SMALL).equals(planted)
    assert model.generation_config.to_dict() == before


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3_text", "gpt_neox"])
def test_plain_models_of_other_architectures_stay_plain(name: str) -> None:
    model, tokenizer = tiny(name, vocab_size=257), byte_tokenizer()
    table = sensitivity(model, texts(), tokenizer=tokenizer, **SMALL)
    assert table["layer"].drop_nulls().unique().to_list() == [0, 1]
    assert table.filter(quantity="change of the loss")["value"].null_count() == 0
    assert positions_of(model) is None


def test_models_with_increments_are_measured_too() -> None:
    assert cells(sensitivity(copying_model(), texts(), **SMALL), 0, "closed")["value"].null_count() == 0
    with pytest.raises(NotMeasurableError, match=r"accumulate=False.*; use a model that sums"):
        sensitivity(copying_model(increments={"accumulate": False}), texts())
    with pytest.raises(NotMeasurableError, match=r"no class of tokens has 32 tokens before it .*; give longer"):
        sensitivity(copying_model(), ["short"] * 12)


def test_a_gap_is_the_same_whichever_of_its_tokens_makes_the_step() -> None:
    before, after = (
        sensitivity(copying_model(increments={"advance": advance}), texts(), **SMALL) for advance in ("before", "after")
    )
    changes = [cells(table, 0, "closed") for table in (before, after)]
    assert changes[0]["value"].abs().max() > 0.1
    assert changes[1]["value"].to_list() == pytest.approx(changes[0]["value"].to_list(), abs=1e-4)


def test_some_layers_alone_may_be_asked_about(planted: pl.DataFrame) -> None:
    model = copying_model(increments=None, blind_second_layer=True)
    table = sensitivity(model, texts(), layers=[1], **SMALL)
    assert table.filter(quantity="change of the loss")["layer"].unique().to_list() == [None, 1]
    assert cells(table, None, "closed").equals(cells(planted, None, "closed"))
    with pytest.raises(ConfigError, match="layer 2 has no rotary positions to change; choose from 0, 1"):
        sensitivity(model, texts(), layers=[0, 2], **SMALL)
    with pytest.raises(ConfigError, match="no layer is named; choose from 0, 1"):
        sensitivity(model, texts(), layers=[], **SMALL)


def test_the_same_seed_gives_the_same_table(planted: pl.DataFrame) -> None:
    again = sensitivity(copying_model(increments=None, blind_second_layer=True), texts(), **SMALL)
    assert again.equals(planted)


@pytest.mark.parametrize("batch_size", [5, 7])
def test_what_is_drawn_does_not_depend_on_the_batch(planted: pl.DataFrame, batch_size: int) -> None:
    torch.manual_seed(0)
    again = sensitivity(
        copying_model(increments=None, blind_second_layer=True), texts(), batch_size=batch_size, **SMALL
    )
    assert_frame_equal(again[["value", "null"]], planted[["value", "null"]], rel_tol=1e-4, abs_tol=1e-6)


def test_a_picture(planted: pl.DataFrame) -> None:
    assert "Split-half reliability: closed" in str(draw_sensitivity(planted).chart.to_dict()["title"]["subtitle"])
    assert MEASURE.of_plain


def test_windows_without_room_are_not_blamed_on_the_documents() -> None:
    model = tiny("llama", vocab_size=257, max_position_embeddings=24)
    with pytest.raises(NotMeasurableError, match=r"windows of 24 tokens .*; use a model with longer windows"):
        sensitivity(model, ["abcdefgh" * 20] * 12, tokenizer=byte_tokenizer(), num_documents=12)

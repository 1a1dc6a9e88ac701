import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.interventions import interventions
from howfar.measures.interventions.replacements import AT_ONE_GAP, REPLACEMENTS
from howfar.positions import increments_of, override
from support.copying import INCREMENT, copying_model, repeating_texts
from support.losses import token_losses

TEXTS = repeating_texts(12)
CONSTANT = ("set to mean", "shuffled", "shuffled in class")
MOVING = ("set to one", "one gap widened", "one gap closed")


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """Layer 0 finds the letter to copy by its position; layer 1 attends to everything alike. All increments are 2."""
    return interventions(copying_model(blind_second_layer=True), TEXTS)


def rows(table: pl.DataFrame, layer: int | None, *kinds: str) -> pl.DataFrame:
    return table.filter(pl.col("layer").eq_missing(layer), pl.col("kind").is_in(kinds), dose=1.0)


def test_every_kind_and_layer_has_a_row(table: pl.DataFrame) -> None:
    assert table.height == 2 * (3 * len(REPLACEMENTS) - 1)  # a swap of all layers at once would be none
    assert table["dose"].unique().sort().to_list() == [0.5, 1.0]
    everywhere = table.filter(~pl.col("kind").is_in(AT_ONE_GAP))  # so short a window may have no match for one gap
    assert everywhere["note"].null_count() == everywhere.height
    assert set(table["n"]) == {12}


def test_finds_the_layer_that_uses_positions(table: pl.DataFrame) -> None:
    found = rows(table, 0, *MOVING)
    assert found.height == 3
    assert (found["value"] > 0.1).all()
    assert (found["low"] > 0).all()  # twelve documents do not say more where one gap in each is moved
    assert (found["attention_change_low"] > 0.01).all()
    assert rows(table, None, "set to one")["value"].item() == pytest.approx(
        rows(table, 0, "set to one")["value"].item()
    )


def test_set_to_one_costs_what_the_losses_say(table: pl.DataFrame) -> None:
    model, windows = copying_model(), [np.array([256, *text.encode()]) for text in TEXTS]
    plain = token_losses(model, windows)
    with override(model, lambda layer, own: torch.ones_like(own)):
        changed = token_losses(model, windows)
    row = rows(table, 0, "set to one")
    assert row["value"].item() == pytest.approx(float((changed - plain).mean()), rel=1e-4)
    assert row["num_bytes"].item() == sum(map(len, TEXTS))
    assert row["moved"].item() == pytest.approx(INCREMENT - 1)


def test_increments_that_lead_to_the_next_token_are_refused() -> None:
    with pytest.raises(NotMeasurableError, match=r"leads to the token after it .* take the measure sensitivity"):
        interventions(copying_model(increments={"advance": "after"}), TEXTS)


def test_the_opposite_goes_the_other_way(table: pl.DataFrame) -> None:
    model, windows = copying_model(), [np.array([256, *text.encode()]) for text in TEXTS]
    plain = token_losses(model, windows)

    def wider(layer: int, own: torch.Tensor) -> torch.Tensor:
        return torch.cat([own[..., :1], 2 * own[..., 1:] - 1], dim=-1)  # the mark in front stays

    with override(model, wider):
        changed = token_losses(model, windows)
    row = rows(table, 0, "set to one").row(0, named=True)
    assert row["opposite"] == pytest.approx(float((changed - plain).mean()), rel=1e-4)
    assert row["beyond_opposite"] == pytest.approx(row["value"] - row["opposite"], abs=1e-9)
    assert row["opposite_share"] == pytest.approx(1)


def test_no_number_where_the_bound_allows_no_opposite() -> None:
    model = copying_model()
    for network in increments_of(model).networks:
        network.output.bias.data.fill_(-1.28)  # steps of 0.3 can grow to 1, and not shrink by as much
    row = interventions(model, TEXTS, kinds=["set to one"], doses=[1.0], num_attention_documents=10).row(0, named=True)
    assert row["value"] is not None
    assert row["opposite_share"] == pytest.approx(0.3 / 0.7, abs=0.01)
    for column in ("opposite", "opposite_low", "opposite_high", "beyond_opposite", "beyond_opposite_high"):
        assert row[column] is None


def test_finds_nothing_where_attention_is_blind_to_positions(table: pl.DataFrame) -> None:
    found = rows(table, 1, *MOVING)
    assert found.height == 3
    assert (found["moved"] > 0).all()
    for column in ("value", "control", "beyond_control", "opposite", "attention_change", "attention_control"):
        assert (found[column].abs() < 1e-6).all()


def test_finds_nothing_where_increments_do_not_differ(table: pl.DataFrame) -> None:
    for layer in (0, 1, None):
        found = rows(table, layer, *CONSTANT)
        assert found.height == 3
        for column in ("moved", "value", "control", "attention_change"):
            assert (found[column].abs() < 1e-6).all()


def test_half_the_dose_goes_half_the_way(table: pl.DataFrame) -> None:
    half, whole = (
        table.filter(pl.col("layer") == 0, kind="one gap closed", dose=dose).row(0, named=True) for dose in (0.5, 1.0)
    )
    assert half["moved"] == pytest.approx(whole["moved"] / 2)
    assert 0 < half["value"] < whole["value"]


def test_what_a_shuffle_leaves_is_the_primary_outcome(table: pl.DataFrame) -> None:
    # All increments are 2, so a shuffle changes nothing, and all that setting them to 1 costs is beyond it.
    row = rows(table, 0, "set to one").row(0, named=True)
    assert row["beyond_shuffle"] == pytest.approx(row["value"], abs=1e-6)
    assert row["beyond_shuffle_low"] > 0.1
    assert rows(table, 0, "shuffled in class", "one gap closed")["beyond_shuffle"].null_count() == 2


def test_the_shuffle_is_compared_with_even_where_it_is_not_asked_for(table: pl.DataFrame) -> None:
    alone = interventions(copying_model(), TEXTS, kinds=["set to one"], doses=[1.0], num_attention_documents=10)
    assert alone["kind"].to_list() == ["set to one"]
    assert alone["beyond_shuffle"].item() == pytest.approx(alone["value"].item(), abs=1e-6)


def test_some_layers_alone_may_be_asked_about(table: pl.DataFrame) -> None:
    one = interventions(copying_model(blind_second_layer=True), TEXTS, layers=[1, 1])
    assert one.equals(table.filter(pl.col("layer").is_null() | pl.col("layer").eq(1)))
    with pytest.raises(ConfigError, match="layer -1 has no rotary positions to change; choose from 0, 1"):
        interventions(copying_model(blind_second_layer=True), TEXTS, layers=[-1])


def test_only_bytes_behind_the_gap_count(table: pl.DataFrame) -> None:
    assert rows(table, 0, "one gap closed")["num_bytes"].item() < sum(map(len, TEXTS))


def test_attention_is_compared_on_some_documents_and_switched_back() -> None:
    model = copying_model()
    before = model.config._attn_implementation
    few = interventions(model, TEXTS, kinds=["set to one"], doses=[1], num_attention_documents=10, batch_size=4)
    everyone = interventions(model, TEXTS, kinds=["set to one"], doses=[1], num_attention_documents=12, batch_size=5)
    assert few["value"].item() == pytest.approx(everyone["value"].item())
    assert few["attention_change"].item() == pytest.approx(everyone["attention_change"].item(), rel=0.1)
    assert model.config._attn_implementation == before != "eager"


@pytest.mark.parametrize("sizes", [{"batch_size": 5}, {"num_attention_documents": 11}])
def test_what_is_drawn_does_not_depend_on_the_batch(sizes: dict[str, int]) -> None:
    model = scattered()
    kinds = ["shuffled", "shuffled in class", "one gap closed"]
    one, other = (interventions(model, TEXTS, kinds=kinds, doses=[1.0], **each) for each in ({}, sizes))
    assert one["value"].n_unique() > 3
    numbers = ["value", "control", "opposite", "moved"]
    assert_frame_equal(other[numbers], one[numbers], rel_tol=1e-4, abs_tol=1e-6)


def scattered() -> torch.nn.Module:
    """A copying model whose increments differ from letter to letter."""
    torch.manual_seed(0)
    model = copying_model(blind_second_layer=True)
    for parameter in increments_of(model).parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_shared_increments_cannot_be_swapped() -> None:
    model = copying_model(increments={"scope": "shared"}, blind_second_layer=True)
    table = interventions(model, TEXTS, kinds=["swapped with next layer", "set to one"], doses=[1.0])
    swapped = table.filter(kind="swapped with next layer")
    assert swapped["value"].null_count() == swapped.height == 2
    assert set(swapped["note"]) == {"not measurable: all layers share their increments"}
    assert rows(table, 1, "set to one")["value"].item() == pytest.approx(0, abs=1e-6)


def test_a_single_layer_cannot_be_swapped() -> None:
    table = interventions(copying_model(), TEXTS, kinds=["swapped with next layer"], doses=[1.0])
    assert table["note"].item() == "not measurable: there is only one layer"


def test_a_plain_model_has_one_gap_to_move_and_nothing_to_replace() -> None:
    model = copying_model(increments=None)
    table = interventions(model, TEXTS, doses=[1.0])
    moved = pl.col("kind").is_in(["one gap widened", "one gap closed"])
    assert table.filter(moved)["value"].null_count() == 0
    assert table.filter(moved)["moved"].min() > 0
    rest = table.filter(~moved)
    assert rest["value"].null_count() == rest.height
    assert set(rest["note"]) == {"not measurable: the model is plain, every increment is 1"}


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="no intervention 'doubled'; choose from set to one, "):
        interventions(copying_model(), TEXTS, kinds=["doubled"])
    with pytest.raises(ConfigError, match="give some above 0 and at most 1"):
        interventions(copying_model(), TEXTS, doses=[0.0])
    with pytest.raises(NotMeasurableError, match="accumulate=False"):
        interventions(copying_model(increments={"accumulate": False}), TEXTS)
    with pytest.raises(NotMeasurableError, match="9 documents with text give no interval; give at least 10"):
        interventions(copying_model(), TEXTS[:9])

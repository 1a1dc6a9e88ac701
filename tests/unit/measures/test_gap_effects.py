from functools import partial

import numpy as np
import pytest
import torch

from howfar.errors import NotMeasurableError
from howfar.measures.gap_effects import gap_effects
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import increments_of, override
from howfar.positions.attachment import positions_of
from support.copying import LAG, copying_model, repeating_texts
from support.losses import token_losses

TEXT = repeating_texts(1)[0][:14]


@pytest.fixture
def small_model() -> HowFarForCausalLM:
    torch.manual_seed(0)
    config = HowFarConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.4,
        increments={"per_head": True, "start": "random"},
    )
    return HowFarForCausalLM(config).eval()


def test_positions_that_are_no_sums_have_no_gaps() -> None:
    with pytest.raises(NotMeasurableError, match=r"accumulate=False.*; use a model that sums its increments"):
        gap_effects(copying_model(increments={"accumulate": False}), TEXT)


def test_gaps_without_an_effect_are_refused() -> None:
    with pytest.raises(NotMeasurableError, match=r"positions reach no layer of this model, .*; use a model whose att"):
        gap_effects(copying_model(increments=None, encoding={"name": "nope"}), TEXT)
    frozen = copying_model(increments=None, encoding={"name": "nope"}).requires_grad_(False)
    with pytest.raises(NotMeasurableError, match="positions reach no layer"):
        gap_effects(frozen, TEXT)


def test_a_model_whose_weights_are_frozen_has_the_same_effects(small_model: HowFarForCausalLM) -> None:
    expected = gap_effects(small_model, TEXT).effects
    assert np.array_equal(gap_effects(small_model.requires_grad_(False), TEXT).effects, expected)


def add(chosen: int, move: torch.Tensor, layer: int, own: torch.Tensor) -> torch.Tensor:
    return own + move if layer == chosen else own


def test_only_the_gaps_between_a_letter_and_its_copy_matter() -> None:
    # The head looks half a position too far: wider gaps on the way to the letter that is copied help.
    effects = gap_effects(copying_model(off_target=0.5), TEXT).effects[0, 0]
    first = LAG + 2  # the first letter that can be copied, seen from the token before it
    on_the_way = [(first, gap) for gap in range(first - LAG, first)]
    assert all(effects[place] < -1 for place in on_the_way)
    before_the_letter = effects[first + 3, : first + 3 - LAG]
    assert np.abs(before_the_letter).max() < 1e-3


def test_a_gap_is_the_same_whichever_of_its_tokens_makes_the_step() -> None:
    before, after = (
        gap_effects(copying_model(off_target=0.5, increments={"advance": advance}), TEXT)
        for advance in ("before", "after")
    )
    assert np.abs(before.effects).max() > 1
    np.testing.assert_allclose(after.effects, before.effects, atol=1e-3)


def test_derivatives_equal_finite_differences(small_model: HowFarForCausalLM) -> None:
    text, step = "Größe 中", 1e-2
    found = gap_effects(small_model, text, batch_size=4)
    tokens = np.array([256, *text.encode()])
    num_tokens = len(tokens) - 1
    assert found.effects.shape == (2, 2, num_tokens, num_tokens)
    assert repr(found) == f"GapEffects({num_tokens} tokens, 2 layers, 2 heads)"
    for layer, head, gap in [(0, 0, 1), (0, 1, 4), (1, 0, 0), (1, 1, num_tokens - 2)]:
        losses = []
        for by in (step, -step):
            move = torch.zeros(2, num_tokens + 1)
            move[head, gap + 1] = by
            with override(small_model, partial(add, layer, move)):
                losses.append(token_losses(small_model, [tokens])[0].double())
        slope = ((losses[0] - losses[1]) / (2 * step)).numpy()
        np.testing.assert_allclose(found.effects[layer, head, :, gap], slope, atol=2e-3)
        assert np.abs(slope).max() > 0.01


def test_nothing_depends_on_later_gaps(small_model: HowFarForCausalLM) -> None:
    effects = gap_effects(small_model, TEXT).effects
    assert np.abs(np.triu(effects)).max() == 0
    assert np.abs(effects).max() > 0


def test_table_says_which_piece_is_which(small_model: HowFarForCausalLM) -> None:
    found = gap_effects(small_model, "a中")
    assert found.pieces == ("a", "<E4>", "<B8>", "<AD>")
    table = found.table()
    assert table.height == 2 * 2 * 6  # layers, heads, gaps before each of 4 tokens
    row = table.filter(layer=1, head=0, predicted=3, gap=1).row(0, named=True)
    assert (row["predicted_piece"], row["gap_piece"]) == ("<AD>", "<E4>")
    assert row["nats_per_position"] == pytest.approx(found.effects[1, 0, 3, 1])


def test_refusals(small_model: HowFarForCausalLM) -> None:
    with pytest.raises(NotMeasurableError, match="the text has 64 tokens; give 2 to 63"):
        gap_effects(small_model, "a" * 64)
    with pytest.raises(NotMeasurableError, match="the text has 1 token, which no gap precedes; give 2 to 63"):
        gap_effects(small_model, "a")
    with pytest.raises(NotMeasurableError, match="the text has 0 tokens"):
        gap_effects(small_model, "")


def test_a_plain_model_is_differentiated_at_steps_of_one() -> None:
    plain, model = copying_model(increments=None), copying_model(increments={"scope": "per_layer", "start": "identity"})
    for network in increments_of(model).networks:
        network.output.bias.data.zero_()
    found = gap_effects(plain, TEXT).effects
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, gap_effects(model, TEXT).effects, atol=1e-5)
    assert positions_of(plain) is None

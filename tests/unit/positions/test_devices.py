"""Models whose weights are elsewhere: divided, offloaded, or still to come."""

from pathlib import Path

import pytest
import torch

from howfar.positions import IncrementConfig, attach
from support.elsewhere import divide_in_two, divided, elsewhere, plain
from support.encodings import ENCODED, encoded
from support.models import stir, tiny, tokens

CONFIGS = [
    IncrementConfig(scope="shared"),
    IncrementConfig(),
    IncrementConfig(per_head=True),
    IncrementConfig(scope="shared", per_head=True),
]


@pytest.mark.parametrize("how", ["second layer on disk", "all on disk", "all in memory"])
@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_a_divided_model_equals_the_whole_one(config: IncrementConfig, how: str, tmp_path: Path) -> None:
    whole, token_ids = tiny(), tokens()
    plain = whole(token_ids).logits
    stir(attach(whole, config))
    expected = whole(token_ids).logits
    generated = whole.generate(token_ids, max_new_tokens=4, do_sample=False)

    later = tiny()
    stir(attach(later, config))
    later = divided(later, tmp_path / "later", how)
    assert torch.equal(later(token_ids).logits, expected), "divided after it was given increments"
    assert torch.equal(later.generate(token_ids, max_new_tokens=4, do_sample=False), generated)

    before = divided(tiny(), tmp_path / "before", how)
    increments = attach(before, config)
    assert torch.equal(before(token_ids).logits, plain), "given increments when it was divided"
    assert {parameter.device.type for parameter in increments.parameters()} == {"cpu"}
    stir(increments)
    assert torch.equal(before(token_ids).logits, expected)


@pytest.mark.parametrize("is_divided_first", [False, True])
@pytest.mark.parametrize("config", CONFIGS)
@torch.no_grad()
def test_a_model_on_two_devices_equals_the_whole_one(config: IncrementConfig, is_divided_first: bool) -> None:
    whole, model, token_ids = tiny(), tiny(), tokens()
    stir(attach(whole, config))
    expected = whole(token_ids).logits
    generated = whole.generate(token_ids, max_new_tokens=4, do_sample=False)
    with elsewhere():
        if is_divided_first:
            divide_in_two(model)
        stir(attach(model, config))
        if not is_divided_first:
            divide_in_two(model)
        assert torch.equal(plain(model(token_ids).logits), expected)
        assert torch.equal(plain(model.generate(token_ids, max_new_tokens=4, do_sample=False)), generated)


@pytest.mark.parametrize("how", ["on two devices", "second layer on disk", "all in memory"])
@pytest.mark.parametrize("kind", ENCODED)
@torch.no_grad()
def test_a_divided_model_with_an_encoding_equals_the_whole_one(kind: str, how: str, tmp_path: Path) -> None:
    model, token_ids = encoded(kind), tokens()
    expected = model(token_ids).logits
    if how != "on two devices":
        assert torch.equal(divided(model, tmp_path, how)(token_ids).logits, expected)
        return
    with elsewhere():
        divide_in_two(model)
        assert torch.equal(plain(model(token_ids).logits), expected)


@pytest.mark.parametrize(("name", "layers"), [("llama", (0, 1)), ("smollm3", (0,)), ("gemma3_text", (0, 1))])
def test_layers_that_rotate_are_found_before_the_weights_come(name: str, layers: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = tiny(name)
    assert attach(model, IncrementConfig(per_head=True)).layer_indices == layers
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}

"""Models whose weights are elsewhere: divided, offloaded, or still to come."""

from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from torch import nn
from transformers import PreTrainedModel

from howfar.positions import IncrementConfig, attach
from support.models import stir, tiny, tokens

CONFIGS = [IncrementConfig(scope="shared"), IncrementConfig(), IncrementConfig(per_head=True)]
REST = dict.fromkeys(["model.embed_tokens", "model.layers.0", "model.rotary_emb", "model.norm", "lm_head"], "cpu")


def divided(model: PreTrainedModel, folder: Path, how: str) -> nn.Module:
    """A model whose second layer, or all of which, waits on disk or in memory until it is called."""
    if how == "second layer on disk":
        places = {**REST, "model.layers.1": "disk"}
        if hasattr(model.model, "increments"):
            places["model.increments"] = "disk"
        return dispatch_model(model, places, main_device="cpu", offload_dir=str(folder), force_hooks=True)
    if how == "all on disk":
        return disk_offload(model, str(folder), execution_device=torch.device("cpu"))
    return cpu_offload(model, execution_device=torch.device("cpu"))


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


@pytest.mark.parametrize(("name", "layers"), [("llama", (0, 1)), ("smollm3", (0,)), ("gemma3_text", (0, 1))])
def test_layers_that_rotate_are_found_before_the_weights_come(name: str, layers: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = tiny(name)
    assert attach(model, IncrementConfig(per_head=True)).layer_indices == layers
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}

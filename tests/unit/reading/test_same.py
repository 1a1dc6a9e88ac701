"""A worker's model is the model here, or it is refused by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

import howfar
from howfar.errors import WorkersError
from howfar.reading.same import SameModel
from support.models import seeing, tiny, tokens


@pytest.fixture
def model(tmp_path: Path) -> PreTrainedModel:
    howfar.save(tiny("gemma2"), tmp_path / "base")
    graft = howfar.load(tmp_path / "base")
    howfar.attach(graft, howfar.IncrementConfig(per_head=True))
    howfar.save(graft, tmp_path / "graft")
    return howfar.load(tmp_path / "graft")


def test_a_model_that_was_used_is_found_again(model: PreTrainedModel) -> None:
    model(tokens(), output_hidden_states=True)  # for which Transformers leaves hooks behind
    howfar.record(model)
    assert torch.equal(SameModel.of(model).load()(tokens()).logits, model(tokens()).logits)


@pytest.mark.parametrize("name", ["phi3-longrope", "llama-dynamic"])
def test_frequencies_that_follow_the_latest_text_are_no_difference(name: str, tmp_path: Path) -> None:
    howfar.save(tiny(name), tmp_path / "model")
    model = howfar.load(tmp_path / "model").train()
    model(tokens(24))
    assert torch.equal(SameModel.of(model).load()(tokens(4)).logits, model.eval()(tokens(4)).logits)


@pytest.mark.parametrize("architecture", ["got_ocr2", "gemma3"])
@pytest.mark.parametrize("text", ["sdpa", "eager"])
def test_parts_that_attend_by_different_functions_do_so_in_a_worker(
    architecture: str, text: str, tmp_path: Path
) -> None:
    seeing(architecture).save_pretrained(tmp_path / "model")
    model = howfar.load(tmp_path / "model")
    model.set_attn_implementation({"text_config": text})
    again = SameModel.of(model).load()
    assert again.config.get_text_config()._attn_implementation == text
    assert torch.equal(again(tokens()).logits, model(tokens()).logits)


def softcapped(model: PreTrainedModel) -> None:
    model.config.final_logit_softcapping = 1.0


def another_activation(model: PreTrainedModel) -> None:
    model.model.layers[0].mlp.act_fn = nn.ReLU()


def another_scale(model: PreTrainedModel) -> None:
    model.model.layers[0].self_attn.scaling *= 2


def another_weight(model: PreTrainedModel) -> None:
    model.lm_head.weight.data[0, 0] += 1


def another_frequency(model: PreTrainedModel) -> None:
    model.model.rotary_emb.inv_freq *= 0.5


def rounded_frequencies(model: PreTrainedModel) -> None:
    model.to(torch.bfloat16)


def another_window(model: PreTrainedModel) -> None:
    model.model.layers[0].self_attn.sliding_window = 3


CHANGES = [
    *(softcapped, another_activation, another_scale, another_weight, another_frequency, rounded_frequencies),
    another_window,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_was_changed_after_loading_is_refused(
    model: PreTrainedModel, change: Callable[[PreTrainedModel], None]
) -> None:
    change(model)
    with pytest.raises(WorkersError, match="differs from the model here; save the model"):
        SameModel.of(model).load()


def ablated(model: PreTrainedModel) -> None:
    model.model.layers[1].register_forward_hook(lambda module, args, output: 0 * output)


def ablated_before(model: PreTrainedModel) -> None:
    model.lm_head.register_forward_pre_hook(lambda module, args: (0 * args[0],))


def replaced(model: PreTrainedModel) -> None:
    model.model.layers[1].mlp.forward = torch.zeros_like


@pytest.mark.parametrize("change", [ablated, ablated_before, replaced])
def test_code_put_into_a_model_is_refused(model: PreTrainedModel, change: Callable[[PreTrainedModel], None]) -> None:
    change(model)
    with pytest.raises(WorkersError, match=r"has a hook or another forward.*; read without workers"):
        SameModel.of(model)

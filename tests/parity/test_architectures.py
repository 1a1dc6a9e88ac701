"""Increments on tiny random models of every architecture that is said to work."""

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from howfar.errors import UnsupportedModelError
from howfar.positions import IncrementConfig, attach, detach, record
from howfar.positions.arguments import CACHE_NAME
from support.models import ARCHITECTURES, WITHOUT_ROTARY, gradients, largest_difference, stir, tiny, tokens

CONFIGS = {
    "shared": IncrementConfig(scope="shared"),
    "per_layer": IncrementConfig(scope="per_layer"),
    "per_head": IncrementConfig(scope="per_layer", per_head=True),
    "shared_per_head": IncrementConfig(scope="shared", per_head=True),
}
NO_POSITIONS_PER_HEAD = {
    "falcon": "rotates all heads alike",  # its attention does not go through Transformers' interface
    "stablelm": "output differs",  # its layers do not hand further arguments on
    "nemotron": "output differs",  # likewise
    "hunyuan_v1_dense": "output differs",  # normalises after it rotates
    "nanochat": "output differs",  # likewise, without weights: equal but for the last bits
    "deepseek_v3": "output differs",  # rotates the end of each head
}
FREQUENCIES_DEPEND_ON_LENGTH = ["llama-dynamic"]  # a longer pass rotates all tokens otherwise, increments or not
GOES_ON_TOKEN_BY_TOKEN = ["minimax"]  # from its cache; test_clock.py has it


def logits(model: PreTrainedModel, token_ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(token_ids).logits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_unit_increments_equal_the_base_model_bit_for_bit(name: str) -> None:
    model, token_ids = tiny(name), tokens()
    expected = logits(model, token_ids)
    for kind, config in CONFIGS.items():
        if config.per_head and name in NO_POSITIONS_PER_HEAD:
            with pytest.raises(UnsupportedModelError, match=NO_POSITIONS_PER_HEAD[name]):
                attach(model, config)
        else:
            attach(model, config)
            with record(model) as recording:
                assert torch.equal(logits(model, token_ids), expected), kind
            for positions in recording.positions.values():
                assert torch.equal(positions, torch.arange(12.0).expand_as(positions)), kind
            detach(model)
        assert torch.equal(logits(model, token_ids), expected), f"{kind}, after detach"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_increments_act_in_the_layers_that_rotate_and_in_no_other(name: str) -> None:
    model, token_ids = tiny(name), tokens()
    without_rotary = WITHOUT_ROTARY.get(name, [])
    expected = logits(model, token_ids)
    increments = stir(attach(model))
    assert increments.layer_indices == tuple(i for i in range(len(increments.layers)) if i not in without_rotary)
    assert (logits(model, token_ids) - expected).abs().max() > 1e-3 * expected.std()
    model(token_ids).logits.square().mean().backward()
    for parameter in increments.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize(
    "name", [name for name in ARCHITECTURES if name not in FREQUENCIES_DEPEND_ON_LENGTH + GOES_ON_TOKEN_BY_TOKEN]
)
def test_cached_decoding_equals_one_full_pass(name: str) -> None:
    model, token_ids = tiny(name), tokens(14)
    for kind, config in CONFIGS.items():
        if config.per_head and name in NO_POSITIONS_PER_HEAD:
            continue
        stir(attach(model, config))
        expected = logits(model, token_ids)
        cache, pieces = None, []
        for piece in token_ids.split([5, 1, 1, 1, 1, 1, 4], dim=1):
            with torch.no_grad():
                output = model(piece, **{CACHE_NAME: cache}, use_cache=True)
            cache = output[CACHE_NAME]
            pieces.append(output.logits)
        torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-5, atol=1e-5, msg=kind)
        detach(model)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    model, token_ids = tiny(name), tokens()
    stir(attach(model))
    model.train()

    def backward() -> dict[str, Tensor]:
        model(token_ids, labels=token_ids, use_cache=False).loss.backward()
        return gradients(model)

    expected = backward()
    model.activation_checkpointing_enable()
    assert largest_difference(expected, backward()) < 1e-6


@pytest.mark.parametrize("name", ["gpt2", "opt", "bloom", "llama4_text", "gpt_neo", "gptj", "mamba"])
def test_models_without_cosines_and_sines_are_refused_by_name(name: str) -> None:
    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    further = {
        "gpt_neo": {"attention_types": [[["global"], 2]]},
        "gptj": {"rotary_dim": 4},
        "llama4_text": {"num_key_value_heads": 2, "head_dim": 8},
    }
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **sizes, **further.get(name, {})))
    # Since Transformers 5.24 GPT-J has a rotary module, with sines first and without frequencies.
    refusals = (
        "has no rotary positions.*use a rotary",
        "RotaryEmbedding returns its rotary angles.*use a model",
    )
    with pytest.raises(UnsupportedModelError, match="|".join(refusals)) as refused:
        attach(model)
    assert type(model).__name__.removesuffix("ForCausalLM").removesuffix("LMHeadModel") in str(refused.value)
    assert not any(name.endswith("increments") for name, _ in model.named_modules())


def test_a_rotary_architecture_with_alibi_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="FalconForCausalLM has no rotary positions"):
        attach(tiny("falcon", alibi=True))

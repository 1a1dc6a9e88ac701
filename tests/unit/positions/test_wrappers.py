"""What PEFT and Accelerate make of a model with increments."""

from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator, dispatch_model
from accelerate.state import AcceleratorState

from howfar.positions import IncrementConfig, attach, detach, increments_of, override, record
from support.models import stir, tiny, tokens

# PEFT asks Transformers by a name that is going out of use.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

CONFIGS = [IncrementConfig(scope="shared"), IncrementConfig(), IncrementConfig(per_head=True)]


@pytest.mark.parametrize("config", CONFIGS)
def test_peft_trains_increments_beside_its_adapters(config: IncrementConfig) -> None:
    peft = pytest.importorskip("peft")
    model, token_ids = tiny(), tokens()
    stir(attach(model, config))
    expected = model(token_ids).logits
    options = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["increments"], task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(model, options)
    assert torch.equal(wrapped(token_ids).logits, expected)

    wrapped(token_ids, labels=token_ids).loss.backward()
    trained = [name for name, parameter in wrapped.named_parameters() if parameter.grad is not None]
    assert any("lora_B" in name for name in trained)
    own = [name for name, parameter in wrapped.named_parameters() if "increments.modules_to_save" in name]
    assert own
    assert set(own) <= set(trained)
    with override(wrapped, lambda layer, increments: increments + 1), record(wrapped) as recording:
        wrapped(token_ids)
    assert recording.increments[1].min() > 1
    assert increments_of(wrapped) is increments_of(model)


def test_attaching_to_and_detaching_from_a_peft_model() -> None:
    peft = pytest.importorskip("peft")
    wrapped, token_ids = peft.get_peft_model(tiny(), peft.LoraConfig(target_modules=["q_proj"])), tokens()
    expected = wrapped(token_ids).logits
    attach(wrapped)
    assert torch.equal(wrapped(token_ids).logits, expected)
    detach(wrapped)
    assert torch.equal(wrapped(token_ids).logits, expected)


@pytest.fixture
def fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps its settings for the whole process; other tests need others."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_accelerator")
@pytest.mark.parametrize("config", CONFIGS)
def test_accelerate_prepares_and_trains(config: IncrementConfig) -> None:
    model, token_ids = tiny(), tokens()
    attach(model, config)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    prepared, optimizer = accelerator.prepare(model, optimizer)
    accelerator.backward(prepared(token_ids, labels=token_ids).loss)
    optimizer.step()
    with record(prepared) as recording:
        prepared(token_ids)
    assert recording.increments[1].dtype == torch.float32
    assert (recording.increments[1] != 1).any()


def test_a_model_spread_over_devices() -> None:
    model, token_ids = tiny(), tokens()
    expected = model(token_ids).logits
    placed = dict.fromkeys(["model.embed_tokens", "model.layers.0", "model.rotary_emb", "model.norm", "lm_head"], "cpu")
    model = dispatch_model(model, {**placed, "model.layers.1": "cpu"}, force_hooks=True)
    attach(model)
    assert torch.equal(model(token_ids).logits, expected)

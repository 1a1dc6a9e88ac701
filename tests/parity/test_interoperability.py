"""nnsight and TransformerLens open a grafted model, and its increments are modules like any other to them.

Both are in the optional extra `interop`; without it these tests are skipped.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from howfar.models.loading import load, save, tokenizer_of
from howfar.positions import IncrementConfig, attach, override, record
from support.grafts import make_base

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs are not ours to mend
IDS = torch.tensor([[5, 90, 200, 31, 7, 7, 150, 44]])
FAR = 2.5


@pytest.fixture(params=["shared", "per_layer"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedModel:
    made = load(make_base(tmp_path / "base"))
    increments = attach(made, IncrementConfig(scope=request.param))
    with torch.no_grad():
        for parameter in increments.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    save(made, tmp_path / "graft")
    return load(tmp_path / "graft")


def is_shared(model: PreTrainedModel) -> bool:
    return hasattr(model.model, "increments")


@torch.no_grad()
def logits_and_increments(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model gives by itself, and the increments of its second layer."""
    with record(model) as recording:
        return model(IDS).logits, recording.increments[1]


def test_nnsight_reads_and_sets_increments(model: PreTrainedModel) -> None:
    nnsight = pytest.importorskip("nnsight", exc_type=ImportError)
    expected, increments = logits_and_increments(model)
    with override(model, lambda layer, own: torch.full_like(own, FAR) if is_shared(model) or layer == 1 else own):
        moved, _ = logits_and_increments(model)
    opened: Any = nnsight.LanguageModel(model, tokenizer=tokenizer_of(model))
    network = opened.model.increments if is_shared(model) else opened.model.layers[1].increments
    with torch.no_grad(), opened.trace(IDS):
        seen = network.output.save()
        logits = opened.lm_head.output.save()
    assert torch.equal(seen, increments)
    assert torch.equal(logits, expected)
    with torch.no_grad(), opened.trace(IDS):
        network.output[:] = FAR
        logits = opened.lm_head.output.save()
    assert torch.equal(logits, moved)
    assert not torch.equal(logits, expected)


def test_the_bridge_of_transformer_lens_runs_a_graft(model: PreTrainedModel, tmp_path: Path) -> None:
    bridge_module = pytest.importorskip("transformer_lens.model_bridge", exc_type=ImportError)
    expected, increments = logits_and_increments(model)
    bridge = bridge_module.TransformerBridge.boot_transformers(
        str(tmp_path / "base"), hf_model=model, tokenizer=tokenizer_of(model)
    )
    networks = [module for name, module in bridge.original_model.named_modules() if name.endswith("increments")]
    assert len(networks) == (1 if is_shared(model) else 3)
    seen = []
    hook = networks[0 if is_shared(model) else 1].register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        logits, cache = bridge.run_with_cache(IDS)
    hook.remove()
    # The bridge attends eagerly, so it rounds in another order.
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0], increments, rtol=0, atol=1e-5)
    assert cache["blocks.1.hook_resid_pre"].shape == (1, 8, 32)
    plain = load(tmp_path / "base")
    with torch.no_grad():
        assert (logits - plain(IDS).logits).abs().max() > 1e-3

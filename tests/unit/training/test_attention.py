import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from howfar.models.modeling import HowFarForCausalLM
from howfar.training.attention import maskless_attention
from howfar.training.recipe import Recipe
from howfar.training.run import train

INPUT_IDS = torch.arange(40).view(2, 20)
VARIANTS: list[dict[str, Any] | None] = [
    None,
    {"scope": "per_layer", "start": "random"},
    {"scope": "shared", "start": "random", "per_head": True},
]


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[Tensor | None]:
    """The masks that attention is called with."""
    seen = []
    attend = F.scaled_dot_product_attention

    def note(*args: Any, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        seen.append(attn_mask)
        return attend(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", note)
    return seen


@pytest.mark.parametrize("increments", VARIANTS)
def test_without_masks_a_model_computes_the_same_bits(
    recipe: Callable[..., Recipe], increments: dict[str, Any] | None
) -> None:
    model = HowFarForCausalLM(recipe(increments=increments).model_config()).eval()
    usual = model.config._attn_implementation
    expected = model(INPUT_IDS).logits
    with maskless_attention(model):
        assert model.config._attn_implementation != usual
        assert torch.equal(model(INPUT_IDS).logits, expected)
    assert model.config._attn_implementation == usual


@pytest.mark.parametrize("increments", VARIANTS)
def test_compiled_training_attends_without_masks(
    recipe: Callable[..., Recipe],
    increments: dict[str, Any] | None,
    masks: list[Tensor | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformers.masking_utils.is_tracing", lambda *_: True)  # what a compiler is told
    model = HowFarForCausalLM(recipe(increments=increments).model_config())
    masks.clear()
    model(INPUT_IDS, use_cache=False)
    assert [mask is None for mask in masks] == [False, False], "Transformers does without: remove maskless_attention"
    masks.clear()
    with maskless_attention(model):
        model(INPUT_IDS, use_cache=False)
    assert masks == [None, None]


def test_another_attention_function_keeps_its_masks(recipe: Callable[..., Recipe]) -> None:
    plan = recipe(model={**recipe().model, "attn_implementation": "eager"})
    model = HowFarForCausalLM(plan.model_config())
    with maskless_attention(model):
        assert model.config._attn_implementation.endswith("eager")


def test_a_trained_model_does_not_remember_it(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    train(recipe(trainer={"max_steps": 1, "save_steps": 1}), tmp_path, progress=False)
    for folder in (tmp_path, tmp_path / "checkpoint-1"):
        assert "maskless" not in json.dumps(json.loads((folder / "config.json").read_text()))
        assert HowFarForCausalLM.from_pretrained(folder).config._attn_implementation == "sdpa"

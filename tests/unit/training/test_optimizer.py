import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from howfar.errors import ConfigError
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.optimizer import Together, with_muon
from howfar.training.recipe import Recipe
from howfar.training.run import train

MakeRecipe = Callable[..., Recipe]


def moved(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def test_muon_trains_the_matrices_of_the_layers_and_nothing_else(recipe: MakeRecipe, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plan: dict[str, Any] = {"trainer": {"learning_rate": 0.0, "max_steps": 2}, "increment_learning_rate": 0.0}
    start = train(recipe(**plan), tmp_path / "start", progress=False).state_dict()
    model = train(recipe(**plan, muon_learning_rate=1e-2), tmp_path / "muon", progress=False)
    expected = {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and ".layers." in name and "increments" not in name.split(".")
    }
    assert len(expected) == 14
    assert moved(model, start) == expected


def test_a_run_with_muon_resumes_to_the_same_bits(recipe: MakeRecipe, tmp_path: Path) -> None:
    constant = {"lr_scheduler_type": "constant"}
    options: dict[str, Any] = {"muon_learning_rate": 1e-2, "increment_learning_rate": 1e-3}
    whole = train(recipe(trainer=constant, **options), tmp_path / "whole", progress=False)
    train(recipe(trainer={**constant, "max_steps": 3}, **options), tmp_path / "parts", progress=False)
    parts = train(recipe(trainer=constant, **options), tmp_path / "parts", progress=False)
    assert moved(parts, whole.state_dict()) == set()


def test_the_parts_of_an_optimiser_keep_their_rates_and_states(recipe: MakeRecipe) -> None:
    def made() -> tuple[HowFarForCausalLM, Together, Any]:
        torch.manual_seed(0)
        model = HowFarForCausalLM(recipe().model_config())
        adamw = torch.optim.AdamW(model.parameters(), lr=1e-3)
        optimizer = with_muon(adamw, model, learning_rate=2e-2, weight_decay=0.1)
        assert isinstance(optimizer, Together)
        return model, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)

    def steps(model: HowFarForCausalLM, optimizer: Together, schedule: Any) -> None:
        for _ in range(2):
            tokens = torch.arange(20)[None]
            model(input_ids=tokens, labels=tokens).loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    model, optimizer, schedule = made()
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(model.parameters()))
    steps(model, optimizer, schedule)
    assert [[group["lr"] for group in part.param_groups] for part in optimizer.parts] == [[1e-3 / 4], [2e-2 / 4]]
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict(), schedule.state_dict()))
    other, its_optimizer, its_schedule = made()
    for thing, own in zip((other, its_optimizer, its_schedule), state, strict=True):
        thing.load_state_dict(own)
    steps(model, optimizer, schedule)
    steps(other, its_optimizer, its_schedule)
    assert moved(other, model.state_dict()) == set()
    assert [group["lr"] for group in its_optimizer.param_groups] == [1e-3 / 16, 2e-2 / 16]


def test_muon_is_refused_where_there_is_none_or_nothing_for_it(
    recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HowFarForCausalLM(recipe().model_config()).requires_grad_(False)
    options: dict[str, Any] = {"learning_rate": 1e-2, "weight_decay": 0.0}
    with pytest.raises(ConfigError, match="no matrix of a layer is trained; leave it out"):
        with_muon(torch.optim.AdamW(model.parameters()), model, **options)
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ConfigError, match=r"has no Muon; install 2\.9 or newer, or leave it out"):
        with_muon(torch.optim.AdamW(model.parameters()), model, **options)
    with pytest.raises(ConfigError, match="muon_learning_rate is 'fast'; it must be a number, 0 or more"):
        recipe(muon_learning_rate="fast")


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"bf16": True}], ids=str)
def test_a_lean_step_gives_the_same_bits(recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any]) -> None:
    trainer = {**options, "max_steps": 4, "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "no"}
    usual = train(recipe(trainer=trainer), tmp_path / "usual", progress=False)
    lean = train(recipe(trainer=trainer, lean_step=True), tmp_path / "lean", progress=False)
    assert moved(lean, usual.state_dict()) == set()


def test_a_lean_step_is_for_one_device(recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.TrainingArguments.n_gpu", 2)
    with pytest.raises(ConfigError, match="lean_step is true, but works on one device without fp16 only; leave it out"):
        train(recipe(lean_step=True), tmp_path / "run", progress=False)

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

import howfar
from howfar.errors import CheckpointError, ConfigError, ModelNotFoundError
from howfar.inputs import sha256
from howfar.training.checkpoints import read_record
from howfar.training.recipe import Recipe
from howfar.training.run import train

MakeRecipe = Callable[..., Recipe]
STILL = {"learning_rate": 0.0, "weight_decay": 0.0, "max_steps": 1, "save_strategy": "no"}


@pytest.fixture
def first(recipe: MakeRecipe, tmp_path: Path) -> Path:
    """A model that was trained before."""
    train(recipe(), tmp_path / "first", progress=False)
    return tmp_path / "first"


def test_a_run_starts_from_another_models_weights(recipe: MakeRecipe, first: Path, tmp_path: Path) -> None:
    weights = howfar.load(first).state_dict()
    plan = recipe(start_from=str(first), seed=1, trainer=STILL)
    started = train(plan, tmp_path / "second", progress=False)
    assert [name for name, tensor in started.state_dict().items() if not torch.equal(weights[name], tensor)] == []
    record = read_record(tmp_path / "second")
    assert record["start_from"] == {"name": "first", "sha256": sha256(first / "model.safetensors")}
    assert "start_from" not in read_record(first)
    longer = {**recipe().model, "max_position_embeddings": 40}
    train(recipe(start_from=str(first), model=longer, trainer=STILL), tmp_path / "longer", progress=False)


def test_a_run_starts_from_weights_in_several_files(recipe: MakeRecipe, first: Path, tmp_path: Path) -> None:
    model = howfar.load(first)
    model.save_pretrained(tmp_path / "parts", max_shard_size="4KB")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    plan = recipe(start_from=str(tmp_path / "parts"), trainer=STILL)
    started = train(plan, tmp_path / "second", progress=False)
    assert all(map(torch.equal, model.state_dict().values(), started.state_dict().values()))
    part = next((tmp_path / "parts").glob("model-*.safetensors"))
    before = read_record(tmp_path / "second")["start_from"]["sha256"]
    tensors = load_file(part)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, part, metadata={"format": "pt"})
    train(plan, tmp_path / "third", progress=False)
    assert read_record(tmp_path / "third")["start_from"]["sha256"] != before


def test_where_a_run_started_cannot_be_changed_when_it_is_carried_on(
    recipe: MakeRecipe, first: Path, tmp_path: Path
) -> None:
    plan = recipe(start_from=str(first))
    whole = train(plan, tmp_path / "second", progress=False)
    again = train(plan, tmp_path / "second", progress=False)
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))
    with pytest.raises(CheckpointError, match="holds a run with another start_from; choose another output folder"):
        train(recipe(), tmp_path / "second", progress=False)
    with pytest.raises(CheckpointError, match="holds a run with another start_from; choose another output folder"):
        train(plan, first, progress=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"model": {"num_hidden_layers": 1}},
            "whose num_hidden_layers is 2, but the recipe's is 1; make them the same",
        ),
        (
            {"model": {"rms_norm_eps": 1e-3}},
            "whose rms_norm_eps is 1e-06, but the recipe's is 0.001; make them the same",
        ),
        ({"increments": None}, "whose increments is {.*}, but the recipe's is None; make them the same"),
        (
            {"increments": {"scope": "per_layer", "bound": "softplus"}},
            "increments is {.*'sigmoid'.*}, but the recipe's is",
        ),
    ],
)
def test_a_model_of_another_shape_is_refused(
    recipe: MakeRecipe, first: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    changed = {**change, "model": {**recipe().model, **change.get("model", {})}}
    with pytest.raises(ConfigError, match=f"start_from names .*first, .*{said}"):
        train(recipe(start_from=str(first), **changed), tmp_path / "second", progress=False)
    assert not (tmp_path / "second").exists()


def test_a_model_of_another_kind_is_refused(recipe: MakeRecipe, tmp_path: Path) -> None:
    LlamaForCausalLM(LlamaConfig(**recipe().model, vocab_size=257)).save_pretrained(tmp_path / "llama")
    with pytest.raises(ConfigError, match=r"start_from names .*, a LlamaForCausalLM; it must be a model that howfar"):
        train(recipe(start_from=str(tmp_path / "llama")), tmp_path / "run", progress=False)
    with pytest.raises(ModelNotFoundError):
        train(recipe(start_from=str(tmp_path / "missing")), tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="start_from is 3; it must be a string"):
        recipe(start_from=3)


SHARED = {"scope": "shared", "start": "random", "bound": "softplus"}


def test_frozen_increments_are_those_of_another_model_for_each_token(recipe: MakeRecipe, tmp_path: Path) -> None:
    other = train(recipe(increments=SHARED), tmp_path / "shared", progress=False)
    plan = recipe(increments=None, encoding={"name": "frozen", "table": str(tmp_path / "shared")})
    model = train(plan, tmp_path / "frozen", progress=False)
    tokens = torch.tensor([[3, 200, 7, 3]])
    with torch.no_grad(), howfar.record(other) as wanted, howfar.record(model) as found:
        other(tokens)
        model(tokens)
    torch.testing.assert_close(found.increments[0], wanted.increments[0])
    assert found.increments[0].std() > 0
    (tmp_path / "shared").rename(tmp_path / "gone")  # what is saved holds the table
    assert torch.equal(howfar.load(tmp_path / "frozen")(tokens).logits, model(tokens).logits)


def test_increments_that_no_table_can_hold_are_not_frozen(recipe: MakeRecipe, first: Path, tmp_path: Path) -> None:
    for name in (str(first), "bilingual-rope"):
        plan = recipe(increments=None, encoding={"name": "frozen", "table": name})
        with pytest.raises(
            ConfigError, match=r"table names .*, whose increments depend on more than the token; name a"
        ):
            train(plan, tmp_path / "frozen", progress=False)
    plan = recipe(increments=None, encoding={"name": "frozen", "table": str(tmp_path / "missing")})
    with pytest.raises(ModelNotFoundError):
        train(plan, tmp_path / "frozen", progress=False)


@pytest.mark.parametrize(
    "encoding",
    [
        {"name": "alibi", "learned": True},
        {"name": "forget_gate"},
        {"name": "pope"},
        {"name": "random"},
    ],
    ids=lambda encoding: encoding["name"],
)
def test_every_encoding_is_trained_and_carried_on(recipe: MakeRecipe, tmp_path: Path, encoding: dict[str, Any]) -> None:
    plan = recipe(increments=None, encoding=encoding)
    whole = train(plan, tmp_path / "whole", progress=False)
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "cut" / "checkpoint-3")
    again = train(plan, tmp_path / "cut", progress=False)
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))
    learned = [(n, p) for n, p in whole.named_parameters() if "encoding" in n.split(".")]
    fresh = dict(type(whole)(whole.config).named_parameters())
    assert bool(learned) == (encoding["name"] != "random")
    assert all(not torch.equal(parameter, fresh[name]) for name, parameter in learned)

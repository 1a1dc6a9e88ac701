"""A finished run stays as it is, whatever the command that is given again says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from howfar.errors import CheckpointError
from howfar.models.origin import origin_of
from howfar.training import graft_run
from howfar.training.checkpoints import RECORD, read_record
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_run import graft
from howfar.training.recipe import Recipe
from howfar.training.run import train
from support.grafts import make_base, make_text
from support.training import TRAINER, text_corpus

MakeRecipe = Callable[..., Recipe]

OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"max_grad_norm": 0.01}, "max_grad_norm"),
    ({"lr_scheduler_type": "constant_with_warmup", "neftune_noise_alpha": 50.0}, "lr_scheduler_type and neftune_noise"),
    ({"bf16": True}, "bf16"),
]
HARMLESS = {
    "logging_steps": 1, "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2, "activation_checkpointing": True,
}  # fmt: skip


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Content and time of every file; a lock is not part of a run."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    others = second.state_dict()
    return all(torch.equal(tensor, others[name]) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("more", [{}, {"save_strategy": "no"}, {"save_steps": 4}])
def test_a_finished_run_is_returned_as_it_is(
    recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any]
) -> None:
    model = train(recipe(trainer=more), tmp_path, progress=False)
    before = files_of(tmp_path)
    for trainer in ({}, HARMLESS):
        again = train(recipe(trainer={**more, **trainer}), tmp_path)
        assert same(model, again)
        assert not again.training
        assert files_of(tmp_path) == before
        assert capsys.readouterr().err.splitlines() == ["tiny: finished already, at step 6; nothing was changed"]


@pytest.mark.parametrize(("options", "named"), OTHERS)
@pytest.mark.parametrize("is_written", [True, False])
def test_settings_that_no_step_would_use_are_refused(
    recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any], named: str, is_written: bool
) -> None:
    train(recipe(), tmp_path, progress=False)
    if not is_written:
        (tmp_path / RECORD).unlink()
    before = files_of(tmp_path)
    with pytest.raises(CheckpointError, match=f"last step, 6, with another {named}.*, and no step .*; choose more"):
        train(recipe(trainer=options), tmp_path, progress=False)
    assert files_of(tmp_path) == before
    train(recipe(trainer={**options, "max_steps": 7}), tmp_path, progress=False)
    assert read_record(tmp_path)["recipe"]["trainer"].items() >= options.items()


def test_a_run_that_is_longer_is_not_replaced_by_a_shorter_one(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(trainer={"save_steps": 4}), tmp_path, progress=False)
    shutil.rmtree(tmp_path / "checkpoint-6")
    before = files_of(tmp_path)
    with pytest.raises(CheckpointError, match="holds a run at step 6, but max_steps is 5; choose at least as many"):
        train(recipe(trainer={"save_steps": 4, "max_steps": 5}), tmp_path, progress=False)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("lost", [RECORD, "model.safetensors", "howfar_files.json"])
def test_a_run_killed_after_its_last_checkpoint_is_finished(recipe: MakeRecipe, tmp_path: Path, lost: str) -> None:
    model = train(recipe(), tmp_path, progress=False)
    before = files_of(tmp_path)
    (tmp_path / lost).unlink()
    again = train(recipe(trainer={"logging_steps": 1}), tmp_path, progress=False)
    assert same(model, again)
    after = files_of(tmp_path)
    assert [name for name in before if before[name][1] != after[name][1]] == ["log.json"]
    last = json.loads((tmp_path / "log.json").read_text())[-1]
    assert "train_runtime" in last
    assert "train_loss" not in last  # it took no step


GRAFTED = {**TRAINER, "max_steps": 2, "save_steps": 1, "logging_steps": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


def graft_of(base: Path, folder: Path, *, trainer: dict[str, Any] | None = None, **values: Any) -> GraftRecipe:
    usual = {"name": "tiny", "base": str(base), "corpus": str(folder / "corpus"), "context": 16}
    return GraftRecipe(**{**usual, **values}, trainer={**GRAFTED, **(trainer or {})})


@pytest.mark.parametrize("kind", ["increments", "lora", "full"])
def test_a_finished_graft_is_returned_as_it_is(base: Path, tmp_path: Path, kind: str) -> None:
    text, run = [str(make_text(tmp_path))], tmp_path / "run"
    values: dict[str, Any] = {"train": kind, "baseline": kind == "lora"}
    model = graft(graft_of(base, run, **values), run, text=text, progress=False)
    before = files_of(run)
    again = graft(graft_of(base, run, **values), run, text=text, progress=False)
    assert same(model, again)
    assert torch.equal(origin_of(model).counts, origin_of(again).counts)
    assert files_of(run) == before
    changes: dict[str, dict[str, Any]] = {
        "max_grad_norm": {"trainer": {"max_grad_norm": 0.1}},
        "held_out_windows": {"held_out_windows": 1},
    }
    for named, changed in changes.items():
        with pytest.raises(CheckpointError, match=f"last step, 2, with another {named}, and no step"):
            graft(graft_of(base, run, **values, **changed), run, text=text, progress=False)
    assert files_of(run) == before


def test_a_graft_killed_before_its_losses_were_written_is_finished(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_corpus([str(make_text(tmp_path))], str(base), tmp_path / "corpus")
    recipe = graft_of(base, tmp_path, train="lora")
    graft(recipe, tmp_path / "whole", progress=False)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(graft_run, "write_card", killed)
        with pytest.raises(KeyboardInterrupt):
            graft(recipe, tmp_path / "killed", progress=False)
    assert "losses" not in read_record(tmp_path / "killed")
    graft(recipe, tmp_path / "killed", progress=False)
    for name in (RECORD, "README.md"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_baseline_may_join_a_finished_graft(base: Path, tmp_path: Path) -> None:
    text_corpus([str(make_text(tmp_path))], str(base), tmp_path / "corpus")
    graft(graft_of(base, tmp_path, train="lora"), tmp_path / "run", progress=False)
    before = read_record(tmp_path / "run")
    graft(graft_of(base, tmp_path, train="lora", baseline=True), tmp_path / "run", progress=False)
    after = read_record(tmp_path / "run")
    assert list(after["losses"]) == ["base", "baseline", "graft"]
    assert after["recipe"]["baseline"] is True
    assert {name: after["losses"][name] for name in before["losses"]} == before["losses"]

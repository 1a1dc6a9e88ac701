import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerState

from howfar.training import finishing, run, trainer
from howfar.training.checkpoints import last_complete_checkpoint
from howfar.training.console import Console
from howfar.training.recipe import Recipe
from howfar.training.run import train
from howfar.training.runs import training_arguments
from howfar.training.termination import EXIT_CODE, Termination

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Python's own handler of Ctrl-C, which a process in a shell's background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def terminated_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send this process a signal at the end of a step."""

    def at(step: int | None, number: int = signal.SIGTERM, times: int = 1) -> None:
        def terminate(console: Console, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
            for _ in range(times if state.global_step == step else 0):
                signal.raise_signal(number)

        monkeypatch.setattr(Console, "on_step_end", terminate)

    return at


@pytest.mark.parametrize("resident", [True, False])
def test_a_run_told_to_end_saves_and_goes_on_as_if_it_had_not_been(
    recipe: MakeRecipe,
    tmp_path: Path,
    terminated_at: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    resident: bool,
) -> None:
    plan = recipe(resident=resident)  # six steps, checkpoints at the third and the last
    whole = train(plan, tmp_path / "whole", progress=False).state_dict()
    before = signal.getsignal(signal.SIGTERM)
    for step in (4, 5):
        terminated_at(step)
        with pytest.raises(SystemExit) as stopped:
            train(plan, tmp_path / "parts")
        assert stopped.value.code == EXIT_CODE == 143
        assert last_complete_checkpoint(tmp_path / "parts") == tmp_path / "parts" / f"checkpoint-{step}"
        assert not (tmp_path / "parts" / "model.safetensors").exists()
        last_line = capsys.readouterr().err.splitlines()[-1]
        assert last_line == f"tiny: stopped on request; saved at step {step}; the same command continues from there"
        assert signal.getsignal(signal.SIGTERM) == before
    terminated_at(None)
    parts = train(plan, tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []


def test_an_interrupted_run_saves_and_raises_what_python_does(
    recipe: MakeRecipe, tmp_path: Path, terminated_at: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(recipe(), tmp_path / "whole", progress=False).state_dict()
    before = signal.getsignal(signal.SIGINT)
    terminated_at(4, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tmp_path / "parts")
    assert last_complete_checkpoint(tmp_path / "parts") == tmp_path / "parts" / "checkpoint-4"
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert last_line == "tiny: stopped on request; saved at step 4; the same command continues from there"
    assert signal.getsignal(signal.SIGINT) == before
    terminated_at(None)
    parts = train(recipe(), tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_stops_at_once(
    recipe: MakeRecipe, tmp_path: Path, terminated_at: Callable[..., None], monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    begun = []

    def begin(*_: Any, **__: Any) -> None:
        if len(begun) == 3:
            signal.raise_signal(first)
        begun.append(True)

    monkeypatch.setattr(Console, "on_step_begin", begin)
    terminated_at(4, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tmp_path, progress=False)
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-3"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_that_is_ignored_stays_ignored(
    recipe: MakeRecipe, tmp_path: Path, terminated_at: Callable[..., None]
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        terminated_at(4, signal.SIGINT, times=2)
        train(recipe(), tmp_path, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "training.json").is_file()


@pytest.mark.parametrize("window", [0, 2])
def test_a_run_told_to_end_while_it_is_scored_leaves_that_and_goes_on(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    whole = train(recipe(), tmp_path / "whole", progress=False).state_dict()
    scored: list[int] = []
    usual = trainer.held_out_losses

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if len(scored) == window:
            signal.raise_signal(signal.SIGTERM)
        scored.append(1)
        return usual(*args, **kwargs)

    def score(*args: Any, **kwargs: Any) -> Any:
        *_, losses = [interrupted(*args, **kwargs) for _ in range(3)]
        return losses

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(trainer, "held_out_losses", score)
    with pytest.raises(SystemExit) as stopped:
        train(recipe(), tmp_path / "parts", progress=False)
    assert stopped.value.code == EXIT_CODE
    assert len(scored) == window
    assert signal.getsignal(signal.SIGTERM) == before
    assert last_complete_checkpoint(tmp_path / "parts") == tmp_path / "parts" / "checkpoint-6"
    assert not (tmp_path / "parts" / "training.json").exists()
    monkeypatch.setattr(trainer, "held_out_losses", usual)
    parts = train(recipe(), tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []
    assert (tmp_path / "parts" / "training.json").read_text() == (tmp_path / "whole" / "training.json").read_text()


# What depends on the clock, or on a process's part of the run.
TIMED = {
    "tokens_per_second", "train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss",
    "total_flos",
}  # fmt: skip
BEST = {
    "save_strategy": "best", "metric_for_best_model": "loss", "eval_strategy": "steps", "eval_steps": 3,
}  # fmt: skip


@pytest.mark.parametrize("more", [{}, {"save_total_limit": 1}])
def test_a_run_told_to_end_saves_where_its_metric_is_not_the_best(
    recipe: MakeRecipe,
    tmp_path: Path,
    terminated_at: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, Any],
) -> None:
    plan = recipe(trainer={**BEST, **more, "max_steps": 8})
    usual = run.IncrementTrainer.evaluate

    def rising(self: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        return {**usual(self, *args, **kwargs), "eval_loss": float(self.state.global_step)}

    monkeypatch.setattr(run.IncrementTrainer, "evaluate", rising)
    whole = train(plan, tmp_path / "whole", progress=False).state_dict()
    terminated_at(6)
    with pytest.raises(SystemExit):
        train(plan, tmp_path / "parts")
    assert last_complete_checkpoint(tmp_path / "parts") == tmp_path / "parts" / "checkpoint-6"
    assert "saved at step 6;" in capsys.readouterr().err.splitlines()[-1]
    terminated_at(None)
    parts = train(plan, tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []


def test_a_run_told_to_end_while_it_is_scored_saves_what_its_metric_did_not(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = recipe(trainer={**BEST, "eval_delay": 99})  # so nothing is saved during training
    whole = train(plan, tmp_path / "whole", progress=False).state_dict()
    usual = trainer.held_out_losses

    def score(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(trainer, "held_out_losses", score)
    with pytest.raises(SystemExit):
        train(plan, tmp_path / "parts")
    assert last_complete_checkpoint(tmp_path / "parts") == tmp_path / "parts" / "checkpoint-6"
    assert "saved at step 6;" in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(trainer, "held_out_losses", usual)
    parts = train(plan, tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []
    logs = [(tmp_path / name / "log.json").read_text().count("train_runtime") for name in ("whole", "parts")]
    assert logs == [1, 1]


@pytest.mark.parametrize(
    "options",
    [{"logging_steps": 4}, {"logging_steps": 8, "save_total_limit": 1, "eval_steps": 2}, {"eval_on_start": True}],
)
def test_a_run_that_saves_its_best_and_is_killed_logs_as_an_uninterrupted_one(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    plan = recipe(trainer={**BEST, **options, "max_steps": 8})
    whole = train(plan, tmp_path / "whole", progress=False).state_dict()
    usual = run.IncrementTrainer.training_step

    def killed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 7:
            raise BaseException("killed")
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(run.IncrementTrainer, "training_step", killed)
    with pytest.raises(BaseException, match="killed"):
        train(plan, tmp_path / "parts", progress=False)
    assert last_complete_checkpoint(tmp_path / "parts") == tmp_path / "parts" / "checkpoint-6"
    monkeypatch.setattr(run.IncrementTrainer, "training_step", usual)
    parts = train(plan, tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []
    logs = [json.loads((tmp_path / name / "log.json").read_text()) for name in ("whole", "parts")]
    whole_log, parts_log = ([{k: v for k, v in entry.items() if k not in TIMED} for entry in log] for log in logs)
    assert whole_log == parts_log


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_told_to_end_before_its_first_step_takes_none(
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    begun: bool,
) -> None:
    if begun:
        train(recipe(trainer={"max_steps": 3}), tmp_path / "run", progress=False)

    def compiling(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it goes on")

    monkeypatch.setattr(run.IncrementTrainer, "training_step", compiling)
    with pytest.raises(SystemExit) as stopped:
        train(recipe(), tmp_path / "run")
    assert stopped.value.code == EXIT_CODE
    last_line = capsys.readouterr().err.splitlines()[-1]
    said = "saved at step 3; the same command continues from there" if begun else "no step was taken"
    assert last_line == f"tiny: stopped on request; {said}"
    assert (tmp_path / "run").exists() is begun


def test_a_run_told_to_end_while_it_is_written_is_written_to_the_end(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = finishing._publish

    def publish(*args: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        usual(*args)

    monkeypatch.setattr(finishing, "_publish", publish)
    train(recipe(), tmp_path, progress=False)
    assert (tmp_path / "training.json").is_file()


def test_a_run_interrupted_while_it_is_written_is_written_first(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = finishing._publish

    def publish(*args: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        usual(*args)

    monkeypatch.setattr(finishing, "_publish", publish)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), tmp_path, progress=False)
    assert (tmp_path / "training.json").is_file()


def test_signals_are_left_alone_where_nothing_would_be_saved(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Termination(training_arguments(recipe(trainer={"save_strategy": "no"}), tmp_path)):
        assert signal.getsignal(signal.SIGTERM) == before
    arguments = training_arguments(recipe(), tmp_path)
    with Termination(arguments):
        assert signal.getsignal(signal.SIGTERM) != before
    monkeypatch.setattr(type(arguments), "world_size", 2)
    with Termination(arguments):
        assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_outside_the_main_thread_takes_no_signals(recipe: MakeRecipe, tmp_path: Path) -> None:
    finished = []

    def work() -> None:
        train(recipe(trainer={"max_steps": 1}), tmp_path, progress=False)
        finished.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert finished == [True]

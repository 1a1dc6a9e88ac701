import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerState

from howfar.training.checkpoints import last_complete_checkpoint
from howfar.training.console import Console
from howfar.training.recipe import Recipe
from howfar.training.run import train, training_arguments
from howfar.training.termination import EXIT_CODE, Termination

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def terminated_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Send this process SIGTERM at the end of a step."""

    def at(step: int | None) -> None:
        def terminate(console: Console, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
            if state.global_step == step:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(Console, "on_step_end", terminate)

    return at


@pytest.mark.parametrize("resident", [True, False])
def test_a_run_told_to_end_saves_and_goes_on_as_if_it_had_not_been(
    recipe: MakeRecipe,
    tmp_path: Path,
    terminated_at: Callable[[int | None], None],
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
        assert last_line == f"tiny: told to end; saved at step {step}, from which the same command goes on"
        assert signal.getsignal(signal.SIGTERM) == before
    terminated_at(None)
    parts = train(plan, tmp_path / "parts", progress=False).state_dict()
    assert [name for name, tensor in whole.items() if not torch.equal(parts[name], tensor)] == []


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

    def run() -> None:
        train(recipe(trainer={"max_steps": 1}), tmp_path, progress=False)
        finished.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert finished == [True]

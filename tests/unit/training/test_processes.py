"""Training in processes of their own: killed at any moment, several at once, out of room, with few packages."""

import dataclasses
import json
import multiprocessing
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import load_file

from howfar.training.checkpoints import RECORD
from howfar.training.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Start = Callable[..., BaseProcess]

TRAIN = """
import gc, os, resource, torch
gc.freeze()  # what was imported; Trainer collects garbage at each run
from howfar.errors import HowFarError
from howfar.training.recipe import Recipe
from howfar.training.run import train
torch.set_num_threads(1)
{before}
try:
    train(Recipe.from_dict(values), output, progress=False)
except HowFarError as error:
    open(output + ".error", "w").write(str(error))
"""


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Start a training in a process that has torch loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["howfar.training.run"])
    started: list[BaseProcess] = []

    def run(recipe: Recipe, output: Path, before: str = "", **names: Any) -> BaseProcess:
        code = TRAIN.format(before=before)
        names = {"values": recipe.to_dict(), "output": str(output), **names}
        process = context.Process(target=exec, args=(code, names))
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.join()


def finish(*processes: BaseProcess) -> None:
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


def latest_checkpoint(folder: Path) -> int:
    """The step of the newest checkpoint, finished or not."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob("checkpoint-*")), default=0)


def assert_same_result(first: Path, second: Path) -> None:
    """Same loss curve, weights and record, but for what depends on the clock and on the process's part of the run."""
    timed = re.compile("tokens_per_second|train_.*|total_flos")
    curves = [
        [{key: value for key, value in entry.items() if not timed.fullmatch(key)} for entry in json.loads(log)]
        for log in ((folder / "log.json").read_text() for folder in (first, second))
    ]
    assert curves[0] == curves[1]
    weights = [load_file(folder / "model.safetensors") for folder in (first, second)]
    assert [name for name, tensor in weights[0].items() if not torch.equal(tensor, weights[1][name])] == []
    assert (first / RECORD).read_text() == (second / RECORD).read_text()


# A checkpoint at every second step, of which one is kept, so that many kills hit one that is being written.
OFTEN = {"save_steps": 2, "save_total_limit": 1, "logging_steps": 3, "eval_strategy": "steps", "eval_steps": 5}


def test_a_run_killed_at_random_ends_as_if_it_had_not_been(start: Start, recipe: MakeRecipe, tmp_path: Path) -> None:
    plan = recipe(trainer={**OFTEN, "max_steps": 20})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(plan, whole))
    moments = random.Random(0)
    for step in (4, 12):
        process = start(plan, killed)
        while latest_checkpoint(killed) < step:
            assert process.is_alive()
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -9
    finish(start(plan, killed))
    assert_same_result(whole, killed)


@pytest.mark.parametrize("seed", [0, 1])
def test_of_two_runs_at_once_in_a_folder_one_is_refused_and_one_undisturbed(
    start: Start, recipe: MakeRecipe, tmp_path: Path, seed: int
) -> None:
    plan, both = recipe(trainer={**OFTEN, "max_steps": 30}), tmp_path / "both"
    finish(start(plan, tmp_path / "alone"))
    pair = [start(plan, both), start(dataclasses.replace(plan, seed=seed), both)]
    finish(*pair)
    error = Path(f"{both}.error").read_text()
    winner = re.fullmatch(rf"{both} is in use by process (\d+) on .*; wait until that has ended, or choose .*", error)
    assert winner is not None, error
    process = next(process for process in pair if process.pid == int(winner[1]))
    if seed == 0 or process is pair[0]:
        assert_same_result(tmp_path / "alone", both)
    else:
        assert json.loads((both / RECORD).read_text())["recipe"]["seed"] == seed


DIE = """
from pkgutil import resolve_name
owner, name = (resolve_name(moment[0]), moment[1])
original, calls = getattr(owner, name), []
def die(*args, **kwargs):
    calls.append(name)
    if len(calls) == on_call:
        os.kill(os.getpid(), 9)
    return original(*args, **kwargs)
setattr(owner, name, die)
"""


@pytest.fixture(scope="session")
def undisturbed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """The folder of a run of a recipe that nothing disturbs; it runs once."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"

    def run(plan: Recipe) -> Path:
        if not folder.exists():
            finish(start(plan, folder))
        return folder

    return run


@pytest.mark.parametrize(
    ("moment", "on_call"),
    [
        # The second checkpoint is in part there ...
        (("transformers.trainer:Trainer", "_save_optimizer_and_scheduler"), 2),
        (("transformers.trainer:Trainer", "_save_rng_state"), 2),
        (("transformers.trainer_callback:TrainerState", "save_to_json"), 2),
        # ... is there but not marked as whole, is there beside the first ...
        (("howfar.training.trainer", "mark_as_whole"), 2),
        (("howfar.training.trainer", "rotate_checkpoints"), 2),
        # ... and the result is in part there.
        (("howfar.training.finishing", "_publish"), 1),
        (("howfar.training.finishing", "write_record"), 1),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
def test_a_run_killed_while_it_writes_ends_as_if_it_had_not_been(
    start: Start,
    recipe: MakeRecipe,
    undisturbed: Callable[[Recipe], Path],
    tmp_path: Path,
    moment: tuple[str, str],
    on_call: int,
) -> None:
    plan, killed = recipe(trainer={**OFTEN, "max_steps": 6}), tmp_path / "killed"
    dying = start(plan, killed, before=DIE, moment=moment, on_call=on_call)
    whole = undisturbed(plan)
    dying.join(120)
    assert dying.exitcode == -9
    finish(start(plan, killed))
    assert_same_result(whole, killed)


@pytest.mark.parametrize("limit", [1_000, 30_000, 50_000])
def test_a_full_disk_is_one_line_and_leaves_whole_checkpoints_only(
    start: Start, recipe: MakeRecipe, tmp_path: Path, limit: int
) -> None:
    """No file may be larger than the limit, which stops the configuration, the weights or the optimiser's state."""
    output = tmp_path / "run"
    small = "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))"
    finish(start(recipe(trainer=OFTEN), output, before=small, limit=limit))
    error = Path(f"{output}.error").read_text()
    assert re.search(r"checkpoint-2 could not be written \(.*\); make room and start the same command again", error)
    assert "\n" not in error
    assert not output.exists()


def test_two_ranks_train_as_one_process_does(start: Start, recipe: MakeRecipe, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    join = "os.environ.update(environment)"
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    halved = recipe(trainer={"per_device_train_batch_size": 2})
    ranks = [
        start(halved, tmp_path / "two", join, environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    finish(*ranks, start(recipe(), tmp_path / "one"))
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4)
    logs = [json.loads((tmp_path / name / "log.json").read_text()) for name in ("one", "two")]
    losses = [[entry["loss"] for entry in log if "loss" in entry] for log in logs]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    records = [json.loads((tmp_path / name / RECORD).read_text()) for name in ("one", "two")]
    assert records[0]["windows_per_step"] == records[1]["windows_per_step"] == 4


def test_a_compiled_model_trains_as_an_eager_one_does(start: Start, recipe: MakeRecipe, tmp_path: Path) -> None:
    compiled = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    finish(start(recipe(trainer=compiled), tmp_path / "compiled"), start(recipe(), tmp_path / "eager"))
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("compiled", "eager")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-5)


def distributions(*names: str) -> set[str]:
    """Installed packages and all that they need."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


def test_training_needs_few_packages(recipe: MakeRecipe, tmp_path: Path) -> None:
    """In an environment of symbolic links to only those packages that the training machine has."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in distributions(
        "torch", "transformers", "accelerate", "numpy", "safetensors", "tokenizers", "rich", "filelock"
    ):
        for file in metadata.files(name) or ():
            link = packages / file.parts[0]
            if file.parts[0] not in ("..", "__pycache__") and not link.exists():
                link.symlink_to(str(file.locate()).removesuffix(str(file)) + file.parts[0])
    assert not (packages / "polars").exists()
    (tmp_path / "recipe.json").write_text(json.dumps(recipe(trainer={"max_steps": 2, "save_steps": 2}).to_dict()))
    code = (
        "import json, sys; from howfar.training.recipe import Recipe; from howfar.training.run import train;"
        f"train(Recipe.from_dict(json.load(open({str(tmp_path / 'recipe.json')!r}))), {str(tmp_path / 'run')!r});"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    source = Path(sys.modules["howfar"].__path__[0]).parent
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{source}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert {"polars", "altair", "typer", "scipy", "sklearn", "pandas"}.isdisjoint(done.stdout.split())
    assert (tmp_path / "run" / "model.safetensors").is_file()

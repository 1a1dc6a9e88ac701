"""A graft's process killed at the worst moments: the run goes on, and ends as if it had not been killed."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from howfar.training.checkpoints import read_record
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_run import graft
from support.grafts import make_base, make_text
from support.training import text_corpus

GRAFT_AND_DIE = """
import os, torch
from pkgutil import resolve_name
from howfar.training.graft_run import graft
from howfar.training.graft_recipe import GraftRecipe
torch.set_num_threads(1)
owner, calls = resolve_name(module), []
original = getattr(owner, function)
def die(*args, **kwargs):
    calls.append(args)
    if len(calls) == on_call:
        os.kill(os.getpid(), 9)
    return original(*args, **kwargs)
setattr(owner, function, die)
graft(GraftRecipe.from_dict(values), output, progress=False)
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> GraftRecipe:
    """A baseline of four steps and then a graft, with a checkpoint at every second step, of which one is kept."""
    folder = tmp_path_factory.mktemp("graft")
    base = make_base(folder / "tiny-llama")
    corpus = text_corpus([str(make_text(folder))], str(base), folder / "corpus")
    trainer = {"max_steps": 4, "save_steps": 2, "save_total_limit": 1, "per_device_train_batch_size": 2}
    return GraftRecipe(
        name="tiny", base=str(base), corpus=str(corpus.folder), context=16, train="lora", lora={"r": 2}, baseline=True,
        trainer={**trainer, "learning_rate": 1e-3, "use_cpu": True},
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(recipe: GraftRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    graft(recipe, folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Starts processes that have torch loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["howfar.training.graft_run"])
    yield context
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("module", "function", "on_call"),
    [
        ("howfar.models.grafts", "save_lora", 2),  # the baseline's second checkpoint is in part there
        ("howfar.models.grafts", "save_lora", 5),  # its own second checkpoint has increments and no adapter
        ("howfar.training.finishing", "_publish", 2),  # it is trained, the result is not where it belongs
        ("howfar.training.graft_run", "write_record", 1),  # the result is there without the losses
    ],
)
def test_a_killed_graft_ends_as_if_it_had_not_been(
    recipe: GraftRecipe, whole: Path, processes: ForkServerContext, tmp_path: Path, module: str, function: str,
    on_call: int,
) -> None:  # fmt: skip
    killed = tmp_path / "killed"
    names = {"values": recipe.to_dict(), "output": str(killed)}
    process = processes.Process(
        target=exec, args=(GRAFT_AND_DIE, {**names, "module": module, "function": function, "on_call": on_call})
    )
    process.start()
    process.join(120)
    assert process.exitcode == -9
    assert not (killed / "training.json").exists() or "losses" not in read_record(killed)
    graft(recipe, killed, progress=False)
    for folder in ("", "baseline"):
        files = sorted(path.name for path in (whole / folder).glob("*.safetensors"))
        assert files == sorted(path.name for path in (killed / folder).glob("*.safetensors"))
        assert [name for name in files if "adapter" in name]
        for file in files:
            expected, found = load_file(whole / folder / file), load_file(killed / folder / file)
            assert expected.keys() == found.keys()
            assert [name for name, tensor in expected.items() if not torch.equal(tensor, found[name])] == []
        assert read_record(killed / folder) == read_record(whole / folder)

"""A checkpoint is used only as it was written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from howfar.errors import CheckpointError
from howfar.models.manifest import describe_files
from howfar.training.checkpoints import RECORD, check_files
from howfar.training.recipe import Recipe
from howfar.training.run import train

MakeRecipe = Callable[..., Recipe]
Damage = Callable[[Path], object]

CONSTANT = {"lr_scheduler_type": "constant"}  # so that a shorter run is the beginning of a longer one


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run's folder, made by the first test that needs it."""
    return {"folder": tmp_path_factory.mktemp("whole") / "run"}


@pytest.fixture
def run(whole: dict[str, Path], recipe: MakeRecipe, tmp_path: Path) -> Path:
    """A run that ended after its third step."""
    if not whole["folder"].exists():
        train(recipe(trainer={**CONSTANT, "max_steps": 3}), whole["folder"], progress=False)
    return Path(shutil.copytree(whole["folder"], tmp_path / "run"))


def tensors_become(change: Callable[[torch.Tensor], torch.Tensor]) -> Damage:
    def damage(checkpoint: Path) -> None:
        file = checkpoint / "model.safetensors"
        save_file({name: change(tensor) for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})

    return damage


def step_becomes(step: int) -> Damage:
    def damage(checkpoint: Path) -> None:
        file = checkpoint / "trainer_state.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "global_step": step}))

    return damage


def flip_a_bit(checkpoint: Path) -> None:
    file = checkpoint / "optimizer.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE: dict[str, tuple[Damage, str]] = {
    "no optimiser": (lambda folder: (folder / "optimizer.pt").unlink(), r"optimizer\.pt is missing"),
    "no schedule": (lambda folder: (folder / "scheduler.pt").unlink(), r"scheduler\.pt is missing"),
    "no random state": (lambda folder: (folder / "rng_state.pth").unlink(), r"rng_state\.pth is missing"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors is missing"),
    "a step before the first": (step_becomes(-1), r"trainer_state\.json has"),
    "a step beyond the last": (step_becomes(10**9), r"trainer_state\.json has"),
    "the next step": (step_becomes(4), r"trainer_state\.json has"),
    "NaN": (tensors_become(lambda tensor: tensor * float("nan")), r"model\.safetensors has changed"),
    "float16": (tensors_become(lambda tensor: tensor.half()), r"model\.safetensors has [\d,]+ bytes, but [\d,]+ were"),
    "flipped": (tensors_become(lambda tensor: tensor.flip(0).contiguous()), r"model\.safetensors has changed"),
    "a bit": (flip_a_bit, r"optimizer\.pt has changed"),
    "cut short": (
        lambda folder: (folder / "scheduler.pt").write_bytes(b""),
        r"scheduler\.pt has 0 bytes, but [\d,]+ were",
    ),
    "a folder": (lambda folder: _becomes_a_folder(folder / "optimizer.pt"), r"optimizer\.pt has"),
}


def _becomes_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_by_its_file(run: Path, recipe: MakeRecipe, damage: str) -> None:
    change, said = DAMAGE[damage]
    change(run / "checkpoint-3")
    advice = r"; remove \S+checkpoint-3 to continue from the previous checkpoint, or choose another output folder$"
    with pytest.raises(CheckpointError, match=rf"checkpoint-3/{said}.*{advice}") as caught:
        train(recipe(), run, progress=False)
    assert "\n" not in str(caught.value)


def test_the_advice_helps(recipe: MakeRecipe, tmp_path: Path) -> None:
    whole = train(recipe(), tmp_path / "whole", progress=False)
    train(recipe(), tmp_path / "damaged", progress=False)
    flip_a_bit(tmp_path / "damaged" / "checkpoint-6")
    with pytest.raises(CheckpointError):
        train(recipe(), tmp_path / "damaged", progress=False)
    shutil.rmtree(tmp_path / "damaged" / "checkpoint-6")
    again = train(recipe(), tmp_path / "damaged", progress=False)
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))


def without_list(run: Path, **changes: object) -> None:
    """Let a checkpoint be one that an earlier version wrote, which kept no list of files."""
    record = json.loads((run / "checkpoint-3" / RECORD).read_text())
    record.pop("files", None)
    (run / "checkpoint-3" / RECORD).write_text(json.dumps({**record, **changes}))


def test_checkpoints_without_a_list_are_gone_on_from(run: Path, recipe: MakeRecipe, tmp_path: Path) -> None:
    without_list(run)
    whole = train(recipe(trainer=CONSTANT), tmp_path / "whole", progress=False)
    again = train(recipe(trainer=CONSTANT), run, progress=False)
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "checkpoint-3" / "optimizer.pt").unlink(), r"optimizer\.pt is missing"),
        (lambda run: step_becomes(-1)(run / "checkpoint-3"), r"trainer_state\.json says -1, its folder step 3"),
        (lambda run: step_becomes(10**9)(run / "checkpoint-3"), r"trainer_state\.json says 1000000000, its folder"),
        (lambda run: (run / "checkpoint-3" / "trainer_state.json").write_text("[]"), "says no readable step, its"),
        (lambda run: without_list(run, step=2), r"training\.json says 2, its folder step 3"),
    ],
)
def test_without_a_list_nothing_may_be_missing_nor_the_step_another(
    run: Path, recipe: MakeRecipe, damage: Damage, said: str
) -> None:
    without_list(run)
    damage(run)
    with pytest.raises(CheckpointError, match=said):
        train(recipe(), run, progress=False)


def test_what_the_list_does_not_name_is_left_alone(tmp_path: Path) -> None:
    for name in ("a", RECORD, "howfar.json"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    listed = describe_files(tmp_path)
    assert list(listed) == ["a", "howfar.json"]
    for name in ("b", RECORD, "howfar.json"):
        (tmp_path / name).write_bytes(b"another")
    check_files(tmp_path, listed, advice="help")
    (tmp_path / "a").write_bytes(b"2")
    with pytest.raises(CheckpointError, match=r"a has changed .*; help"):
        check_files(tmp_path, listed, advice="help")

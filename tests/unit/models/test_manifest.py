"""The list of a model's files: written with it, checked when it is loaded."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from howfar.errors import CheckpointError
from howfar.models.bundled import FOLDER, bundled_models
from howfar.models.loading import load, save
from howfar.models.manifest import (
    MANIFEST_FILE,
    describe_files,
    read_manifest,
    sha256_of_weights,
    verified,
    write_manifest,
)
from howfar.positions import attach
from support.grafts import make_base


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A plain model, saved by this package."""
    save(load(make_base(tmp_path / "base")), tmp_path / "saved")
    return tmp_path / "saved"


def flip_a_bit(path: Path, where: float = 0.9) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 1
    path.write_bytes(content)


def zero_its_second_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip_a_bit, zero_its_second_half, cut, Path.unlink])
@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json"]
)
def test_a_damaged_file_is_named(model_folder: Path, file: str, damage: Callable[[Path], None]) -> None:
    load(model_folder)
    damage(model_folder / file)
    with pytest.raises(CheckpointError, match=rf"{file} is missing or damaged \(.*\); save or download") as caught:
        load(model_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["adapter_config.json", "more.safetensors", "added_tokens.json"])
def test_a_file_that_was_not_saved_and_would_be_read_is_refused(model_folder: Path, file: str) -> None:
    (model_folder / file).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{file} was not saved with the model and would change it"):
        load(model_folder)


def test_files_for_readers_may_be_edited(model_folder: Path) -> None:
    (model_folder / "README.md").write_text("mine")
    (model_folder / "notes.txt").write_text("mine too")
    load(model_folder)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"format_version": 1, "files": {"../x": {}}}',
        '{"format_version": 1, "files": {"x": 1}}',
    ],
)
def test_a_damaged_list_is_refused(model_folder: Path, content: str) -> None:
    (model_folder / MANIFEST_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=f"{MANIFEST_FILE} cannot be read") as caught:
        load(model_folder)
    assert "\n" not in str(caught.value)


def test_a_list_of_a_later_version_is_refused(model_folder: Path) -> None:
    (model_folder / MANIFEST_FILE).write_text('{"format_version": 2, "files": {}}')
    with pytest.raises(CheckpointError, match="has format version 2, this howfar reads 1"):
        load(model_folder)


def test_a_folder_without_a_list_is_loaded(model_folder: Path) -> None:
    (model_folder / MANIFEST_FILE).unlink()
    assert read_manifest(model_folder) is None
    load(model_folder)


def test_a_large_file_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(bytes(3 * 2**20))
    write_manifest(tmp_path)
    flip_a_bit(tmp_path / "weights.safetensors")
    with (
        pytest.raises(CheckpointError, match=r"weights\.safetensors is missing or damaged \(its SHA-256 is"),
        verified(tmp_path),
    ):
        pass
    with pytest.raises(CheckpointError, match="its SHA-256 is"), verified(tmp_path):
        raise ValueError("what a reader made of the damage")
    flip_a_bit(tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="nothing to do with it"), verified(tmp_path):
        raise ValueError("nothing to do with it")


@pytest.mark.parametrize("with_increments", [False, True])
def test_saved_files_have_the_mode_of_new_files(tmp_path: Path, with_increments: bool) -> None:
    model = load(make_base(tmp_path / "base"))
    if with_increments:
        attach(model)
    save(model, tmp_path / "saved")
    (tmp_path / "new").touch()
    expected = stat.S_IMODE((tmp_path / "new").stat().st_mode)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "saved").iterdir()}
    assert set(modes.values()) == {expected}, modes


def test_each_bundled_model_is_as_it_was_made(tmp_path: Path) -> None:
    for model in bundled_models():
        assert read_manifest(FOLDER / model.name) == describe_files(FOLDER / model.name)
    copy = shutil.copytree(FOLDER / "bilingual-rope", tmp_path / "copy")
    flip_a_bit(copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing or damaged"):
        load(copy)
    listed = json.loads((copy / MANIFEST_FILE).read_text())["files"]
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    assert listed.keys() == {"config.json", "generation_config.json", "model.safetensors", *tokenizer}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pipe_among_the_files_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{name} is not a file \(but a pipe, .*remove it"):
        load(str(tmp_path))


def test_weights_are_known_by_their_content_however_they_are_stored(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there are no weights in .*; save or download the model again"):
        sha256_of_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    assert sha256_of_weights(tmp_path) == hashlib.sha256(b"pickled").hexdigest()
    for number in (1, 2):
        (tmp_path / f"model-{number}.safetensors").write_bytes(b"%d" % number)
    both = sha256_of_weights(tmp_path)
    assert sha256_of_weights(tmp_path / "model-1.safetensors") == hashlib.sha256(b"1").hexdigest() != both
    (tmp_path / "model-2.safetensors").write_bytes(b"3")
    assert sha256_of_weights(tmp_path) != both

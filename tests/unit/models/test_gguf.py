"""GGUF files, through Transformers' reader: the same model as in its folder, and grafted like it."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from howfar.errors import CheckpointError, MissingExtraError
from howfar.models.loading import load, save, tokenizer_of
from howfar.positions import attach
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_run import graft
from support.grafts import make_base, make_gguf, make_text
from support.training import text_corpus

IDS = torch.arange(3, 43).view(2, 20)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


@pytest.fixture(scope="module")
def file(base: Path) -> Path:
    return make_gguf(base, base.parent / "tiny.gguf")


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    return model(IDS).logits


def test_a_file_holds_the_model_of_the_folder_that_it_was_made_from(base: Path, file: Path) -> None:
    from_file, from_folder = load(file), load(base)
    assert torch.equal(logits(from_file), logits(from_folder))
    text = "the cat sat on 猫 🙂"
    assert tokenizer_of(from_file)(text).input_ids == tokenizer_of(from_folder)(text).input_ids


@pytest.mark.parametrize("train", ["increments", "lora", "full"])
def test_a_file_is_grafted_and_the_graft_loads_bit_for_bit(file: Path, tmp_path: Path, train: str) -> None:
    corpus = text_corpus([str(make_text(tmp_path))], str(file), tmp_path / "corpus")
    trainer = {"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-3, "use_cpu": True}
    recipe = GraftRecipe(
        name="tiny", base=str(file), corpus=str(corpus.folder), context=16, train=train, trainer=trainer
    )
    model = graft(recipe, tmp_path / "run", progress=False)
    again = load(tmp_path / "run")
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), logits(load(file)))
    assert tokenizer_of(again)("the cat").input_ids == tokenizer_of(load(file))("the cat").input_ids


def test_a_link_to_a_file_stays_the_name_of_the_base(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "blob")  # as in the Hub's cache, where only the link has the suffix
    (tmp_path / "model.gguf").symlink_to(tmp_path / "blob")
    model = load(tmp_path / "model.gguf")
    attach(model)
    save(model, tmp_path / "graft")
    assert torch.equal(logits(load(tmp_path / "graft")), logits(model))


def test_a_file_cut_short_is_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match=r"cut\.gguf cannot be read as a GGUF model .*download it again"
    ) as caught:
        load(cut)
    assert "\n" not in str(caught.value)


def test_a_file_that_lacks_a_tensor_is_refused(base: Path, tmp_path: Path) -> None:
    """Transformers would draw it at random."""
    make_gguf(base, tmp_path / "lacking.gguf", without=["model.layers.1.mlp.up_proj.weight"])
    with pytest.raises(CheckpointError, match=r"lacking\.gguf do not fit .*layers\.1\.mlp\.up_proj\.weight is missing"):
        load(tmp_path / "lacking.gguf")


def test_without_its_reader_a_file_asks_for_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints.txt '.\[gguf\]'"):
        load(file)

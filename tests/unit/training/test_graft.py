"""Graft training: starts as the base, sees the same data as its baseline, resumes exactly, and says what is wrong."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

import howfar.training.graft_run as graft_module
from howfar.corpus.corpus import Corpus
from howfar.corpus.from_text import corpus_from_text
from howfar.corpus.windows import Windows
from howfar.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    HowFarError,
    IdentityError,
    ModelNotFoundError,
    OutputError,
    UnsupportedModelError,
)
from howfar.models.disguise import GRAFT_FILE, OWN_FILES, PEFT_FILES
from howfar.models.grafts import COUNTS_FILE
from howfar.models.loading import load
from howfar.models.origin import origin_of
from howfar.models.pretrained import load_tokenizer
from howfar.positions import IncrementConfig, attach, increments_of
from howfar.text.marks import choose_mark
from howfar.training.checkpoints import read_record
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_run import graft
from howfar.training.graft_trainer import count_tokens
from howfar.training.identity import Output, check_identical
from howfar.training.recipe_files import bundled_recipes
from support.grafts import make_base, make_text
from support.training import text_corpus

TRAINER = {
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "use_cpu": True,
    "logging_steps": 3,
    "save_steps": 3,
}
IDS = torch.arange(3, 43).view(2, 20)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "tiny-llama")


@pytest.fixture(scope="module")
def corpus(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("text")
    return text_corpus([str(make_text(folder))], str(base), folder / "corpus")


@pytest.fixture
def recipe(base: Path, corpus: Corpus) -> Callable[..., GraftRecipe]:
    """Make the recipe of a tiny run; `trainer` options are added to the usual ones, other values replace them."""

    def make(*, trainer: dict[str, Any] | None = None, **values: Any) -> GraftRecipe:
        usual = {"name": "tiny", "base": str(base), "corpus": str(corpus.folder), "context": 16}
        if values.get("train") == "lora":
            usual["lora"] = {"r": 2}
        return GraftRecipe(**{**usual, **values}, trainer={**TRAINER, **(trainer or {})})

    return make


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(IDS).logits


Make = Callable[..., GraftRecipe]


@pytest.mark.parametrize("train", ["increments", "lora", "full"])
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_a_graft_trains_what_was_asked_for_and_loads_bit_for_bit(
    base: Path, recipe: Make, tmp_path: Path, train: str, scope: str
) -> None:
    model = graft(recipe(train=train, increments={"scope": scope}), tmp_path / "run", progress=False)
    again, before = load(tmp_path / "run"), load(base)
    assert torch.equal(logits(again), logits(model))
    assert increments_of(again).config.scope == scope
    assert all(network.output.weight.abs().max() > 0 for network in increments_of(model).networks)
    same = torch.equal(again.model.embed_tokens.weight, before.model.embed_tokens.weight)
    assert same == (train != "full")
    adapted = [value for name, value in again.named_parameters() if "lora_B" in name]
    assert bool(adapted) == (train == "lora")
    assert all(value.abs().max() > 0 for value in adapted)
    record = read_record(tmp_path / "run")
    assert record["losses"].keys() == {"base", "graft"}
    losses = {name: loss["nats_per_byte"] for name, loss in record["losses"].items()}
    assert losses["graft"] < losses["base"] if train != "increments" else losses["graft"] != losses["base"]


def test_increments_have_a_learning_rate_of_their_own(base: Path, recipe: Make, tmp_path: Path) -> None:
    still = {"learning_rate": 0.0}
    model = graft(recipe(train="full", trainer=still, increment_learning_rate=1e-2), tmp_path, progress=False)
    assert torch.equal(model.model.embed_tokens.weight, load(base).model.embed_tokens.weight)
    assert increments_of(model).networks[0].output.weight.abs().max() > 0


def test_the_baseline_sees_the_same_windows_and_starts_from_the_same_adapter(recipe: Make, tmp_path: Path) -> None:
    still = {"learning_rate": 0.0, "max_steps": 3}
    graft(recipe(train="lora", baseline=True, trainer=still), tmp_path, progress=False)
    own = load_file(tmp_path / OWN_FILES.weights)
    plain = load_file(tmp_path / "baseline" / PEFT_FILES.weights)
    assert own.keys() == plain.keys()
    assert all(torch.equal(own[name], plain[name]) for name in own)
    counts = [load_file(tmp_path / name / COUNTS_FILE)["counts"] for name in ("", "baseline")]
    assert torch.equal(*counts)
    assert counts[0].sum() == 3 * 4 * 16
    losses = read_record(tmp_path)["losses"]
    assert list(losses) == ["base", "baseline", "graft"]
    assert losses["baseline"]["nats_per_byte"] == losses["base"]["nats_per_byte"]
    assert json.loads((tmp_path / "baseline" / GRAFT_FILE).read_text())["increments"] is None
    assert read_record(tmp_path / "baseline")["recipe"]["increment_learning_rate"] is None
    card = (tmp_path / "README.md").read_text()
    for name in ("base", "baseline", "graft"):
        assert f"{losses[name]['nats_per_byte']:.5f}" in card


@pytest.mark.parametrize("train", ["increments", "lora", "full"])
def test_a_killed_run_resumes_exactly(
    recipe: Make, tmp_path: Path, train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = graft(recipe(train=train), tmp_path / "whole", progress=False)

    class Killed(BaseException):
        pass

    trainer = graft_module.GraftTrainer
    step = trainer.training_step

    def dying_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 4:
            raise Killed
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "training_step", dying_step)
        with pytest.raises(Killed):
            graft(recipe(train=train), tmp_path / "killed", progress=False)
    assert not (tmp_path / "killed" / GRAFT_FILE).exists()
    resumed = graft(recipe(train=train), tmp_path / "killed", progress=False)
    for (name, one), (_, other) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    assert torch.equal(origin_of(whole).counts, origin_of(resumed).counts)
    assert read_record(tmp_path / "whole")["losses"] == read_record(tmp_path / "killed")["losses"]


@pytest.mark.parametrize("changed", [{"increments": {"scope": "per_layer"}}, {"context": 8}, {"train": "full"}])
def test_a_run_is_not_carried_on_as_another(recipe: Make, tmp_path: Path, changed: dict[str, Any]) -> None:
    short = {"max_steps": 3}
    graft(recipe(increments={"scope": "shared"}, trainer=short), tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=f"holds a run with another {next(iter(changed))}"):
        graft(recipe(**{"increments": {"scope": "shared"}, **changed}), tmp_path, progress=False)


@pytest.mark.parametrize("train", ["increments", "lora"])
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_activation_checkpointing_changes_nothing(recipe: Make, tmp_path: Path, scope: str, train: str) -> None:
    models = [
        graft(
            recipe(train=train, increments={"scope": scope}, trainer={"activation_checkpointing": on, "max_steps": 3}),
            tmp_path / str(on),
            progress=False,
        )
        for on in (False, True)
    ]
    torch.testing.assert_close(logits(models[1]), logits(models[0]), rtol=0, atol=1e-6)


def test_tokens_are_counted_as_often_as_they_were_read(corpus: Corpus) -> None:
    windows = Windows(corpus.train, 16, seed=3, num_windows=10)
    expected = np.zeros(320, dtype=np.int64)
    for index in range(7):
        np.add.at(expected, windows[index], 1)
    assert count_tokens(windows, 7, 320).tolist() == expected.tolist()


def test_the_first_layer_that_differs_is_named(base: Path) -> None:
    model = load(base)
    before = Output.of(model, IDS)
    check_identical(before, Output.of(model, IDS))
    attach(model, IncrementConfig(scope="per_layer"))
    check_identical(before, Output.of(model, IDS))
    with torch.no_grad():
        increments_of(model).networks[1].output.bias.add_(0.1)
    with pytest.raises(IdentityError, match=r"decoder layer 1 is the first that differs \(by up to \d.*loss \d"):
        check_identical(before, Output.of(model, IDS))


def test_a_run_that_does_not_start_as_its_base_is_not_begun(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach_badly(model: Any, config: IncrementConfig) -> None:
        with torch.no_grad():
            attach(model, config).networks[0].output.bias.add_(0.1)

    monkeypatch.setattr(graft_module, "attach", attach_badly)
    with pytest.raises(IdentityError, match="decoder layer 0 is the first that differs"):
        graft(recipe(), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": "some"}, "train is 'some'; it must be 'increments' or 'lora' or 'full'"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"context": 1}, "a window needs at least 2 tokens"),
        ({"held_out_windows": 0}, "held_out_windows is 0"),
        ({"lora": {"r": 2}}, r"\[lora\] is given, but train is 'increments'"),
        ({"increments": None}, "there is nothing to train"),
        ({"increments": {"start": "random"}}, "increments start as 'random'; a graft must start as the base"),
        ({"increments": {"accumulate": False}}, "do not accumulate, .* must start as the base model"),
        ({"increments": {"scop": "shared"}}, "did you mean 'scope'"),
        ({"base": 3}, "base is 3; it must be a string"),
    ],
)
def test_an_impossible_recipe_is_refused(recipe: Make, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**values)


def test_the_bundled_recipes_need_only_a_base_and_a_corpus() -> None:
    names = bundled_recipes(grafts=True)
    assert names == ["graft-full", "graft-increments", "graft-lora"]
    for name in names:
        made = GraftRecipe.load(name, overrides={"base": "owner/model", "corpus": "corpora/x"})
        assert made.name == name == f"graft-{made.train}"
    with pytest.raises(ConfigError, match="'corpus' is missing"):
        GraftRecipe.load("graft-lora", overrides={"base": "owner/model"})


def fails(error: type[HowFarError], message: str, recipe: GraftRecipe, folder: Path) -> None:
    """It is refused in one line, and nothing is left behind."""
    with pytest.raises(error, match=message) as caught:
        graft(recipe, folder / "run", progress=False)
    assert "\n" not in str(caught.value)
    assert not (folder / "run").exists()


def test_bad_input_is_refused_in_one_line(base: Path, recipe: Make, tmp_path: Path) -> None:
    fails(ModelNotFoundError, "no folder", recipe(base=str(tmp_path / "missing")), tmp_path)
    fails(ModelNotFoundError, "the Hub is not used in offline mode", recipe(base="owner/model"), tmp_path)
    fails(ModelNotFoundError, "there is no file", recipe(base="missing.gguf"), tmp_path)
    fails(CorpusError, "there is no folder", recipe(corpus=str(tmp_path / "missing")), tmp_path)
    fails(CorpusError, "one window needs 100000; give more text or shorten", recipe(context=100_000), tmp_path)
    fails(ConfigError, r"PEFT refuses \[lora\] \(.*unheard", recipe(train="lora", lora={"unheard": 1}), tmp_path)
    biases = recipe(train="lora", lora={"r": 2, "bias": "lora_only"}, trainer={"save_strategy": "no"})
    fails(ConfigError, r"\[lora\] cannot be used: .* trains biases", biases, tmp_path)
    fails(ConfigError, r"\[trainer\] is refused by Transformers", recipe(trainer={"optim": "unheard"}), tmp_path)
    angles = recipe(increments={"angles": "float64"})
    fails(IdentityError, "decoder layer 0 .* use increments with angles = 'float32'", angles, tmp_path)


def test_weights_of_no_type_are_refused_by_name(recipe: Make, tmp_path: Path) -> None:
    graft(recipe(trainer={"max_steps": 1}), tmp_path / "run", progress=False)
    for name in (tmp_path / "run", "bilingual-per-layer"):
        with pytest.raises(ConfigError, match="dtype is 'bogus', which is no type of PyTorch's; give 'float32'"):
            load(name, dtype="bogus")


def test_a_corpus_of_other_tokens_is_refused(recipe: Make, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {token: 319 - index for token, index in tokenizer["model"]["vocab"].items()}
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    fails(CorpusError, "but the model has other tokens; build it with --tokenizer", recipe(base=str(other)), tmp_path)


def test_a_tokenizer_with_more_ids_than_its_model_is_refused(recipe: Make, tmp_path: Path) -> None:
    small = make_base(tmp_path / "small", vocab_size=100)
    fails(CorpusError, "320 ids, but its model only 100", recipe(base=str(small)), tmp_path)


def test_a_tokenizer_without_end_of_text_is_refused(recipe: Make, tmp_path: Path) -> None:
    endless = make_base(tmp_path / "endless", end_of_text=False)
    fails(ConfigError, "no end-of-sequence token to separate documents", recipe(base=str(endless)), tmp_path)
    text = str(make_text(tmp_path))
    with pytest.raises(ConfigError, match="no end-of-sequence token"):
        text_corpus([text], str(endless), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_model_without_rotary_positions_is_refused(base: Path, recipe: Make, tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=16, n_layer=1, n_head=2)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, folder)
    fails(UnsupportedModelError, "GPT2LMHeadModel has no rotary positions", recipe(base=str(folder)), tmp_path)


def test_a_graft_is_not_grafted_again(recipe: Make, tmp_path: Path) -> None:
    graft(recipe(trainer={"max_steps": 1}), tmp_path / "first", progress=False)
    fails(ConfigError, "is a graft already", recipe(base=str(tmp_path / "first")), tmp_path)


def test_a_model_whose_increments_would_be_lost_is_not_grafted(base: Path, recipe: Make, tmp_path: Path) -> None:
    model = load(base)
    attach(model)
    model.save_pretrained(tmp_path / "attached")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, tmp_path / "attached")
    fails(ConfigError, "attached has increments already", recipe(base=str(tmp_path / "attached")), tmp_path)


def test_an_adapter_alone_is_not_grafted(recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / PEFT_FILES.config).write_text("{}")
    fails(ConfigError, "adapter is only an adapter", recipe(base=str(tmp_path / "adapter")), tmp_path)


def test_a_model_here_has_no_revisions(recipe: Make, tmp_path: Path) -> None:
    fails(ConfigError, "revision is 'v2', but .* has no revisions", recipe(revision="v2"), tmp_path)


def test_settings_that_cannot_be_saved_are_refused_before_training(base: Path, recipe: Make, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "warm")
    (tmp_path / "warm" / "generation_config.json").write_text('{"temperature": 0.6}')  # as many on the Hub have it
    warm = recipe(base=str(tmp_path / "warm"), train="full")
    fails(ConfigError, "`temperature`.*; correct generation_config.json", warm, tmp_path)
    options = {"train": "lora", "lora": {"r": 2}, "trainer": {"max_steps": 1}}
    graft(recipe(base=str(tmp_path / "warm"), **options), tmp_path / "run", progress=False)


def test_a_corpus_from_text_is_built_once(base: Path, corpus: Corpus, tmp_path: Path) -> None:
    text = str(make_text(tmp_path))
    first = text_corpus([text], str(base), tmp_path / "corpus")
    assert first.hash == corpus.hash
    assert first.held_out.num_documents > 0
    stamp = (tmp_path / "corpus" / "corpus.json").stat().st_mtime_ns
    text_corpus([text], str(base), tmp_path / "corpus")
    assert (tmp_path / "corpus" / "corpus.json").stat().st_mtime_ns == stamp
    tokenizer = load_tokenizer(base)
    choose_mark(tokenizer, 5)
    with pytest.raises(OutputError, match="holds a graft with another document mark, whose corpus"):
        corpus_from_text([text], tokenizer, tmp_path / "corpus")
    edited = (tmp_path / Path(text).name).read_text(encoding="utf-8").swapcase()
    (tmp_path / "other.txt").write_text("another text")
    said = f"{tmp_path} holds a graft with another text, whose corpus is {tmp_path / 'corpus'}; choose another output"
    with pytest.raises(OutputError, match=said):
        text_corpus([str(tmp_path / "other.txt")], str(base), tmp_path / "corpus")
    Path(text).write_text(edited, encoding="utf-8")  # of the same size
    with pytest.raises(OutputError, match=said):
        text_corpus([text], str(base), tmp_path / "corpus")


def test_a_folder_that_cannot_hold_the_baseline_is_refused_before_any_work(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "notes.txt").write_text("mine", encoding="utf-8")
    monkeypatch.setattr("howfar.training.graft_run._load_base", lambda *_: pytest.fail("the base was loaded"))
    with pytest.raises(HowFarError, match="baseline"):
        graft(recipe(train="lora", baseline=True), tmp_path, progress=False)


def test_a_recipe_survives_its_record(recipe: Make) -> None:
    made = recipe(train="lora", baseline=True)
    assert GraftRecipe.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert dataclasses.replace(made, increments=None).increment_config is None

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, TrainerCallback

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.corpus.windows import Windows
from howfar.errors import CheckpointError, ConfigError, CorpusError, HowFarError, OutputError
from howfar.models.manifest import MANIFEST_FILE
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.__main__ import main
from howfar.training.checkpoints import RECORD, last_complete_checkpoint, read_record
from howfar.training.data import TrainingWindows
from howfar.training.recipe import Recipe
from howfar.training.run import fit, train
from howfar.training.runs import Run
from howfar.training.trainer import IncrementTrainer

MakeRecipe = Callable[..., Recipe]


def model_with(recipe: MakeRecipe, **options: Any) -> dict[str, Any]:
    return {**recipe().model, **options}


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def curve(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    timed = {"tokens_per_second", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
    summary = {"train_loss", "total_flos"}  # of this process's part of the run
    entries = json.loads((folder / "log.json").read_text())
    return [{key: value for key, value in entry.items() if key not in timed | summary} for entry in entries]


def test_a_run_leaves_a_model_that_loads_the_same(recipe: MakeRecipe, tmp_path: Path) -> None:
    model = train(recipe(), tmp_path / "run")
    assert not model.training
    loaded = HowFarForCausalLM.from_pretrained(tmp_path / "run")
    assert_same(weights(model), weights(loaded))


def test_a_run_leaves_its_log_and_its_record(recipe: MakeRecipe, corpus: Corpus, tmp_path: Path) -> None:
    plan = recipe(trainer={"eval_strategy": "steps", "eval_steps": 4})
    train(plan, tmp_path)
    record = read_record(tmp_path)
    assert record["recipe"] == {**plan.to_dict(), "corpus": "corpus"}, "not where it lies"
    assert record["corpus"]["hash"] == corpus.hash
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["step"] == 6
    assert record["windows_per_step"] == 4
    assert record["held_out"]["documents"] == 4
    assert record["held_out"]["bytes"] == corpus.held_out.num_bytes.sum()
    assert record["held_out"]["nats_per_byte_by_source"] == {"en": record["held_out"]["nats_per_byte"]}
    log = curve(tmp_path)
    losses = [entry for entry in log if "loss" in entry]
    assert [entry["step"] for entry in losses] == [2, 3, 4, 6]  # every second step and each checkpoint
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert {"increment_mean/layer_0", "increment_std/layer_1", "increment_saturated/layer_1"} <= losses[0].keys()
    assert [entry["step"] for entry in log if "eval_nats_per_byte" in entry] == [4, 6]


def test_a_run_leaves_nothing_else(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(), tmp_path)
    model_files = {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    checkpoints = {"checkpoint-3", "checkpoint-6"}
    assert {path.name for path in tmp_path.iterdir()} == model_files | checkpoints | {RECORD, "log.json", MANIFEST_FILE}
    (tmp_path / "new").touch()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode for path in files} == {(tmp_path / "new").stat().st_mode}, "all may be read alike"
    records = "".join(path.read_text() for path in tmp_path.rglob(RECORD))
    assert str(tmp_path.parent) not in records, "where files lie is nobody's business"


def test_the_same_recipe_gives_the_same_model_and_another_seed_another(recipe: MakeRecipe, tmp_path: Path) -> None:
    first = weights(train(recipe(), tmp_path / "a"))
    assert_same(first, weights(train(recipe(), tmp_path / "b")))
    assert not torch.equal(
        first["model.norm.weight"], weights(train(recipe(seed=1), tmp_path / "c"))["model.norm.weight"]
    )


def test_any_model_can_be_fitted(recipe: MakeRecipe, corpus: Corpus, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from howfar.text.tokenizer import byte_tokenizer

    model = LlamaForCausalLM(LlamaConfig(**recipe().model, vocab_size=257))
    before = weights(model)
    run = Run(recipe=recipe(), corpus=corpus, output=tmp_path, length=16)
    facts = fit(run, model, byte_tokenizer(), max_held_out_windows=2)
    assert facts == read_record(tmp_path)
    assert facts["held_out"]["bytes"] < corpus.held_out.num_bytes.sum()
    assert not torch.equal(before["lm_head.weight"], model.lm_head.weight)


# What the trainer's options do to the result


@pytest.mark.parametrize(
    "options",
    [
        {"activation_checkpointing": True},
        {"dataloader_num_workers": 1},
        {"disable_tqdm": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_change_nothing_change_nothing(
    recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any]
) -> None:
    plain = train(recipe(trainer={"save_strategy": "no"}), tmp_path / "plain")
    other = train(recipe(trainer={"save_strategy": "no", **options}), tmp_path / "other")
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


def test_mixed_precision_is_used_in_training_and_left_behind(recipe: MakeRecipe, tmp_path: Path) -> None:
    plain = train(recipe(), tmp_path / "plain")
    mixed = train(recipe(trainer={"bf16": True}), tmp_path / "mixed")
    assert not torch.equal(mixed.model.norm.weight, plain.model.norm.weight)
    assert {parameter.dtype for parameter in mixed.parameters()} == {torch.float32}
    tokens = torch.arange(20)[None]
    loaded = HowFarForCausalLM.from_pretrained(tmp_path / "mixed")
    assert torch.equal(mixed(tokens).logits, loaded(tokens).logits)


def test_denormal_numbers_are_0_while_a_model_trains_and_numbers_again_afterwards(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    class Seen(TrainerCallback):
        sums: ClassVar[list[float]] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.sums.append(torch.full((4,), 1e-40).mul(1.0).sum().item())

    train(recipe(trainer={"max_steps": 2}), tmp_path / "run", callbacks=[Seen()])
    assert Seen.sums == [0.0, 0.0]
    assert torch.full((4,), 1e-40).mul(1.0).sum().item() > 0


def test_increments_have_the_learning_rate_that_the_recipe_names(recipe: MakeRecipe, tmp_path: Path) -> None:
    def moved(model: torch.nn.Module) -> dict[str, bool]:
        before = HowFarForCausalLM.from_pretrained(tmp_path / "start" / "checkpoint-1").state_dict()
        return {name: not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items()}

    # The first step has a rate of 0, so the checkpoint after it holds the initial weights.
    warm = {"warmup_steps": 1, "weight_decay": 0.0}
    train(recipe(trainer={**warm, "max_steps": 1}), tmp_path / "start")
    still = moved(train(recipe(trainer=warm, increment_learning_rate=0), tmp_path / "still"))
    assert still == {name: "increments" not in name for name in still}
    fast = moved(train(recipe(trainer={**warm, "learning_rate": 0.0}, increment_learning_rate=1e-2), tmp_path / "fast"))
    assert {name for name, has_moved in fast.items() if has_moved} <= {name for name in fast if "increments" in name}
    assert fast["model.layers.1.increments.output.bias"]


def test_accumulated_gradients_equal_a_larger_batch(recipe: MakeRecipe, tmp_path: Path) -> None:
    accumulated = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    whole = train(recipe(), tmp_path / "whole")
    parts = train(recipe(trainer=accumulated), tmp_path / "parts")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    losses = [[entry["loss"] for entry in curve(tmp_path / name) if "loss" in entry] for name in ("whole", "parts")]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
def test_the_windows_of_a_step_do_not_depend_on_the_number_of_ranks(corpus: Corpus, num_ranks: int) -> None:
    per_step, num_steps = 8, 3
    dataset = TrainingWindows(corpus.train, 16, 5, per_step * num_steps)
    seen: list[list[Tensor]] = [[] for _ in range(num_steps)]
    for rank in range(num_ranks):
        loader = prepare_data_loader(
            DataLoader(dataset, batch_size=per_step // num_ranks), num_processes=num_ranks, process_index=rank
        )
        for step, batch in enumerate(loader.batch_sampler):
            seen[step] += [dataset[index]["input_ids"] for index in batch]
    expected = Windows(corpus.train, 16, 5, per_step * num_steps)
    for step, windows in enumerate(seen):
        for place, window in enumerate(windows):
            assert window.tolist() == expected[step * per_step + place].tolist()


# Resuming


@pytest.mark.parametrize("steps", [[3], [4, 6]])
def test_a_run_can_be_carried_on_beyond_its_end(recipe: MakeRecipe, tmp_path: Path, steps: list[int]) -> None:
    constant = {"lr_scheduler_type": "constant", "logging_steps": 1}
    whole = train(recipe(trainer={**constant, "max_steps": 8}), tmp_path / "whole")
    for max_steps in [*steps, 8]:
        parts = train(recipe(trainer={**constant, "max_steps": max_steps}), tmp_path / "parts")
    assert_same(weights(whole), weights(parts))
    losses = [
        {entry["step"]: entry["loss"] for entry in curve(tmp_path / name) if "loss" in entry}
        for name in ("whole", "parts")
    ]
    assert losses[0] == losses[1]


def test_a_finished_run_is_not_trained_again(recipe: MakeRecipe, tmp_path: Path) -> None:
    first = weights(train(recipe(), tmp_path))
    assert_same(first, weights(train(recipe(), tmp_path)))
    assert read_record(tmp_path)["step"] == 6


@pytest.mark.parametrize("finished", [True, False])
def test_another_run_in_the_folder_is_refused(
    recipe: MakeRecipe, other_corpus: Corpus, tmp_path: Path, finished: bool
) -> None:
    train(recipe(trainer={"save_strategy": "no"} if finished else {}), tmp_path)
    before = weights(HowFarForCausalLM.from_pretrained(tmp_path))
    changes: dict[str, dict[str, Any]] = {
        "seed": {"seed": 1},
        "model": {"model": {**recipe().model, "hidden_size": 32}},
        "increments": {"increments": None},
        "corpus": {"corpus": str(other_corpus.folder)},
        "seed and corpus": {"seed": 1, "corpus": str(other_corpus.folder)},
    }
    for changed, values in changes.items():
        with pytest.raises(CheckpointError, match=f"holds a run with another {changed}; choose another output folder"):
            train(recipe(**values), tmp_path)
    with pytest.raises(CheckpointError, match="holds a run with 4 windows per step, but this one has 8; choose"):
        train(recipe(trainer={"per_device_train_batch_size": 8}), tmp_path)
    assert_same(before, weights(HowFarForCausalLM.from_pretrained(tmp_path)))


def test_what_the_optimisers_state_keeps_cannot_be_changed_by_continuing(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(trainer={"weight_decay": 0, "max_steps": 3}), tmp_path, progress=False)
    record = read_record(tmp_path)
    changes: list[tuple[str, dict[str, Any]]] = [
        ("learning_rate", {"trainer": {"learning_rate": 0.5, "max_steps": 4}}),
        ("weight_decay and adam_beta2", {"trainer": {"weight_decay": 0.7, "adam_beta2": 0.9}}),
        ("increment_learning_rate", {"increment_learning_rate": 0.3}),
    ]
    for changed, values in changes:
        with pytest.raises(CheckpointError, match=f"holds a run with another {changed}; choose"):
            train(recipe(**values), tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="holds a run at step 3, but max_steps is 2; choose at least as many"):
        train(recipe(trainer={"max_steps": 2}), tmp_path, progress=False)
    assert read_record(tmp_path) == record


def test_a_plain_run_that_recorded_a_rate_of_increments_is_continued(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(increments=None, trainer={"max_steps": 1}), tmp_path, progress=False)
    for path in tmp_path.rglob(RECORD):
        record = json.loads(path.read_text())
        record["recipe"]["increment_learning_rate"] = 0.3
        path.write_text(json.dumps(record))
    train(recipe(increments=None, trainer={"max_steps": 2}), tmp_path, progress=False)
    assert read_record(tmp_path)["step"] == 2


def test_a_continued_run_may_take_another_schedule(recipe: MakeRecipe, tmp_path: Path) -> None:
    def plan(steps: int) -> Recipe:
        decay = {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": steps - 1}}
        return recipe(trainer={**decay, "logging_steps": 1, "max_steps": steps})

    for run, ends in (("whole", [6]), ("parts", [3, 6])):
        for steps in ends:
            train(plan(steps), tmp_path / run, progress=False)
    whole, parts = (
        {entry["step"]: entry["learning_rate"] for entry in curve(tmp_path / run) if "loss" in entry}
        for run in ("whole", "parts")
    )
    assert parts[3] != whole[3]
    assert [parts[step] for step in (5, 6)] == [whole[step] for step in (5, 6)] != [0, 0]


def test_a_continued_run_logs_evaluates_and_saves_as_its_own_recipe_says(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(trainer={"max_steps": 3}), tmp_path, progress=False)
    every = {"save_steps": 2, "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 4}
    train(recipe(trainer={**every, "max_steps": 8}), tmp_path, progress=False)
    saved = sorted(int(path.name.rpartition("-")[2]) for path in tmp_path.glob("checkpoint-*"))
    assert saved == [3, 4, 6, 8]
    logs = curve(tmp_path)
    assert [entry["step"] for entry in logs if "loss" in entry] == [2, 3, 4, 5, 6, 7, 8]
    assert [entry["step"] for entry in logs if "eval_loss" in entry] == [4, 8]


def test_parts_of_a_run_are_saved_as_often_as_its_new_number_of_steps_says(recipe: MakeRecipe, tmp_path: Path) -> None:
    for steps in (4, 8):
        train(recipe(trainer={"save_steps": 0.5, "max_steps": steps}), tmp_path, progress=False)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {f"checkpoint-{step}" for step in (2, 4, 8)}


PLATEAU = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps", "eval_steps": 1}


@pytest.mark.parametrize(
    ("begun", "continued", "changed"),
    [
        (PLATEAU, {}, "lr_scheduler_type"),
        ({}, PLATEAU, "lr_scheduler_type"),
        (PLATEAU, {**PLATEAU, "lr_scheduler_kwargs": {"factor": 0.5}}, "lr_scheduler_kwargs"),
        (PLATEAU, {**PLATEAU, "metric_for_best_model": "bits_per_byte"}, "metric_for_best_model"),
        (
            {"metric_for_best_model": "eval_bits_per_byte"},
            {"metric_for_best_model": "loss"},
            "metric_for_best_model",
        ),
    ],
)
def test_what_a_schedules_state_keeps_cannot_be_changed_by_continuing(
    recipe: MakeRecipe, tmp_path: Path, begun: dict[str, Any], continued: dict[str, Any], changed: str
) -> None:
    train(recipe(trainer={**begun, "max_steps": 1}), tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=f"holds a run with another {changed}; choose"):
        train(recipe(trainer={**continued, "max_steps": 2}), tmp_path, progress=False)


def test_a_schedule_that_follows_the_held_out_loss_may_be_continued(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(trainer={**PLATEAU, "max_steps": 1}), tmp_path, progress=False)
    same = {"metric_for_best_model": "nats_per_byte", "lr_scheduler_kwargs": {}}
    train(recipe(trainer={**PLATEAU, **same, "max_steps": 2}), tmp_path, progress=False)
    assert read_record(tmp_path)["step"] == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_an_unreadable_record_is_refused(recipe: MakeRecipe, tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(CheckpointError, match=f"has no readable {RECORD} .*; name a folder that training wrote"):
        train(recipe(), tmp_path)


def test_only_whole_checkpoints_are_gone_on_from(tmp_path: Path) -> None:
    assert last_complete_checkpoint(tmp_path) is None
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).touch()
    (tmp_path / "checkpoint-11").mkdir()
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_older_checkpoints_are_let_go(recipe: MakeRecipe, tmp_path: Path) -> None:
    train(recipe(trainer={"save_steps": 1, "save_total_limit": 2}), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-6"]
    assert json.loads((tmp_path / "checkpoint-6" / "trainer_state.json").read_text())["global_step"] == 6


def test_a_checkpoint_that_a_killed_run_left_half_written_is_not_kept_for_a_complete_one(
    recipe: MakeRecipe, tmp_path: Path
) -> None:
    for name in ("checkpoint-9", "checkpoint-mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    train(recipe(trainer={"save_total_limit": 1}), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-6", "checkpoint-mine"]
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-6"


# Bad input


def test_a_checkpoint_that_cannot_be_written_is_an_error_of_one_line(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("howfar.training.trainer.mark_as_whole", full)
    with pytest.raises(OutputError, match=r"checkpoint-3 could not be written .*No space left.*; make room and start"):
        train(recipe(), tmp_path)
    assert list(tmp_path.glob("checkpoint-*")) == []


def test_a_result_that_cannot_be_written_is_an_error_of_one_line(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("howfar.training.finishing._publish", full)
    with pytest.raises(OutputError, match=r"could not be written .*No space left.*; make room and start"):
        train(recipe(trainer={"save_strategy": "no"}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_not_the_model_is_not_published(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_a_bit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"][0] += 1
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr("howfar.training.finishing.open_to_readers", lose_a_bit)
    with pytest.raises(CheckpointError, match=r"lose a part of the model: model.norm.weight has other values there"):
        train(recipe(trainer={"save_strategy": "no"}), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "Input/output error"),
        (Exception("No space left on device (os error 28)"), "No space left on device"),  # as tokenizers say it
        (OutputError("a cannot be written (Disk quota exceeded); make room"), "a cannot be written"),
    ],
)
def test_whatever_library_finds_no_room_it_is_an_error_of_one_line(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    for place, what in (("finishing.write_manifest", ""), ("trainer.mark_as_whole", "/checkpoint-3")):
        with monkeypatch.context() as patch:
            patch.setattr(f"howfar.training.{place}", fail)
            with pytest.raises(OutputError, match=rf"{what} could not be written \({reason}.*\); make room"):
                train(recipe(trainer={} if what else {"save_strategy": "no"}), tmp_path / what.strip("/"))
        assert not list(tmp_path.rglob(".partial"))


def test_a_folder_that_is_a_file_is_an_error_of_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(OutputError, match=r"run is a file; choose another output folder"):
        train(recipe(), tmp_path / "run")
    with pytest.raises(OutputError, match=r"run/a cannot be created .*; name another one"):
        train(recipe(), tmp_path / "run" / "a")


def test_a_run_does_not_begin_among_other_files(recipe: MakeRecipe, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds files but no run; choose another output folder"):
        train(recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("record", ["training.json", "corpus.json"])
def test_a_run_does_not_begin_in_a_folder_of_runs_or_of_corpora(
    recipe: MakeRecipe, tmp_path: Path, record: str
) -> None:
    (tmp_path / "all" / "one").mkdir(parents=True)
    (tmp_path / "all" / "one" / record).touch()
    with pytest.raises(OutputError, match=r"all holds files but no run; choose another output folder"):
        train(recipe(), tmp_path / "all")


def test_what_the_trainer_refuses_is_an_error_of_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe: \[trainer\] is refused by Transformers \(.*sometimes"):
        train(recipe(trainer={"save_strategy": "sometimes"}), tmp_path)


def test_what_the_optimiser_refuses_is_an_error_of_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe: \[trainer\] is refused by the optimiser \(.*beta.*\); change it"):
        train(recipe(trainer={"adam_beta2": 2}), tmp_path, progress=False)


def test_what_the_schedule_refuses_is_an_error_of_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe: \[trainer\] is refused by the schedule \(.*'foo'\); change it"):
        train(recipe(trainer={"lr_scheduler_kwargs": {"foo": 1}}), tmp_path, progress=False)


@pytest.mark.parametrize("options", [{"log_level": "x"}, {"accelerator_config": "x"}, {"parallelism_config": "x"}])
def test_an_option_of_another_type_is_an_error_of_one_line(
    recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"recipe: \[trainer\] is refused by Transformers \(.*\); change it"):
        train(recipe(trainer=options), tmp_path, progress=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_liger_kernel": True}, "liger-kernel .* is not available"),
        ({"torch_compile_mode": "foo"}, "RuntimeError: Unrecognized mode=foo"),
        ({"dataloader_num_workers": 1, "dataloader_multiprocessing_context": "foo"}, "valid start method"),
        ({"activation_checkpointing": True, "activation_checkpointing_kwargs": {"every_n_layers": 0}}, "ZeroDivision"),
    ],
)
def test_what_training_refuses_before_its_first_step_is_an_error_of_one_line(
    recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"recipe: \[trainer\] is refused by Transformers \(.*{said}.*\); change it"):
        train(recipe(trainer=options), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("when", ["on_train_begin", "on_step_end"])
def test_what_is_raised_later_is_not_said_to_be_an_options(recipe: MakeRecipe, tmp_path: Path, when: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a fault")

    callback = TrainerCallback()
    setattr(callback, when, fail)
    with pytest.raises(ValueError, match="a fault"):
        train(recipe(), tmp_path / "run", callbacks=[callback], progress=False)


def test_a_machine_without_room_is_not_said_to_be_an_option(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(IncrementTrainer, "create_scheduler", fail)
    with pytest.raises(torch.OutOfMemoryError):
        train(recipe(), tmp_path / "run", progress=False)


def test_windows_per_step_are_not_changed_by_a_file(recipe: MakeRecipe, tmp_path: Path) -> None:
    config = {"gradient_accumulation_kwargs": {"num_steps": 2}}
    (tmp_path / "accelerator.json").write_text(json.dumps(config))
    for given in (str(tmp_path / "accelerator.json"), json.dumps(config)):
        with pytest.raises(ConfigError, match=r"gradient_accumulation_kwargs\.num_steps, which would change"):
            train(recipe(trainer={"accelerator_config": given}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_recipe_is_not_changed_by_training(recipe: MakeRecipe, tmp_path: Path) -> None:
    config = {"gradient_accumulation_kwargs": {"sync_each_batch": False}}
    chosen = recipe(trainer={"accelerator_config": config, "max_steps": 1})
    before = chosen.to_dict()
    train(chosen, tmp_path, progress=False)
    assert chosen.to_dict() == before == read_record(tmp_path)["recipe"] | {"corpus": chosen.corpus}
    assert config == {"gradient_accumulation_kwargs": {"sync_each_batch": False}}


def test_what_follows_a_held_out_loss_needs_one_before_training(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = {"eval_strategy": "steps", "eval_steps": 2}
    bare = tmp_path / "text"
    bare.write_text("words and more words\n" * 90)
    options = BuildOptions(held_out_documents=0)
    corpus = build_corpus(tmp_path / "corpus", [parse_source(f"en={bare}")], options, progress=False)
    monkeypatch.setattr(IncrementTrainer, "training_step", None)
    for trainer, own, message in (
        ({**evaluated, "lr_scheduler_type": "reduce_lr_on_plateau"}, {"corpus": str(corpus.folder)}, "holds no doc"),
        ({**evaluated, "metric_for_best_model": "accuracy"}, {}, "is 'accuracy'; it must be loss or nats_per_byte or"),
        ({"save_strategy": "best", "metric_for_best_model": "loss"}, {}, "is 'no', so nothing would be saved; set"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(recipe(trainer=trainer, **own), tmp_path / "run", progress=False)


@pytest.mark.parametrize("metric", ["loss", "nats_per_byte", "eval_bits_per_byte"])
def test_the_best_model_is_the_one_of_the_lowest_loss(recipe: MakeRecipe, tmp_path: Path, metric: str) -> None:
    options = {"save_strategy": "best", "metric_for_best_model": metric, "eval_strategy": "steps", "eval_steps": 1}
    train(recipe(trainer={**options, "max_steps": 4}), tmp_path, callbacks=[EarlyStoppingCallback(2)], progress=False)
    losses = [entry["eval_loss"] for entry in curve(tmp_path) if "eval_loss" in entry]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == read_record(tmp_path)["step"] == 4
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {f"checkpoint-{step}" for step in (1, 2, 3, 4)}


def test_half_precision_is_refused_on_a_cpu(recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fp16 is true, but this run is on a CPU, .*; set bf16 instead, or leave it"):
        train(recipe(trainer={"fp16": True}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_step_at_the_full_rate_is_told_so(
    recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decay = {"lr_scheduler_type": "warmup_stable_decay", "warmup_steps": 1, "max_steps": 2}
    for steps in (1, 2):
        train(recipe(trainer={**decay, "lr_scheduler_kwargs": {"num_decay_steps": steps}}), tmp_path / str(steps))
        assert ("no step has the full learning rate" in capsys.readouterr().err) is (steps == 2)


def test_a_tracker_that_is_not_installed_is_an_error_of_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"recipe: \[trainer\] is refused by Transformers \(.*[Cc]omet.*\); change it"
    ):
        train(recipe(trainer={"report_to": "comet_ml"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attn_implementation": "quick"}, "ValueError: .*quick"),
        ({"hidden_act": "bend"}, "KeyError: 'bend'"),
        ({"hidden_size": 2**34}, "RuntimeError: .*memory"),
    ],
)
def test_a_model_that_cannot_be_made_is_an_error_of_one_line(
    recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"\[model\] cannot be made: {said}.*; change it"):
        train(recipe(model=model_with(recipe, **options)), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_corpus_too_short_is_refused(recipe: MakeRecipe, tmp_path: Path) -> None:
    long = recipe(model={**recipe().model, "max_position_embeddings": 100_000})
    with pytest.raises(CorpusError, match="one window needs 100000; give more text or shorten the context"):
        train(long, tmp_path)


def test_a_corpus_whose_tokenizer_is_not_there_is_refused(recipe: MakeRecipe, corpus: Corpus, tmp_path: Path) -> None:
    manifest = json.loads((corpus.folder / "corpus.json").read_text())
    manifest["tokenizer"]["name"] = "gpt2"
    for file in corpus.folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "corpus.json").unlink()
    (tmp_path / "corpus.json").write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match=r"the tokenizer of the corpus in .* cannot be read: 'gpt2'"):
        train(recipe(corpus=str(tmp_path)), tmp_path / "run")


# Names


def test_the_package_offers_its_names() -> None:
    import howfar.training

    assert howfar.training.train is train
    assert all(hasattr(howfar.training, name) for name in howfar.training.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trian'; it has GraftRecipe, Recipe, "):
        _ = howfar.training.trian


# `python -m howfar.training`


def write_recipe(path: Path, recipe: Recipe) -> Path:
    lines = [f"name = {recipe.name!r}", f"corpus = {recipe.corpus!r}"]
    for table in ("model", "increments", "trainer"):
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in recipe.to_dict()[table].items())]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_cpu_without_bfloat16_is_told_so(
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    multiplies: bool,
) -> None:
    monkeypatch.setattr("howfar.training.console.multiplies_bfloat16", lambda: multiplies)
    train(recipe(trainer={"max_steps": 1, "bf16": True, "save_strategy": "no"}), tmp_path / "run")
    told = [line for line in capsys.readouterr().err.splitlines() if "this CPU multiplies bfloat16 in software" in line]
    assert len(told) == (0 if multiplies else 1)


def test_a_recipe_may_choose_the_attention_implementation(recipe: MakeRecipe, tmp_path: Path) -> None:
    still = {"max_steps": 1, "save_strategy": "no"}
    usual = train(recipe(trainer=still), tmp_path / "usual", progress=False)
    model = train(recipe(trainer=still, model=model_with(recipe, attn_implementation="eager")), tmp_path / "eager")
    assert (usual.config._attn_implementation, model.config._attn_implementation) == ("sdpa", "eager")
    for one, other in zip(usual.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_the_module_trains_and_says_how_it_goes(
    recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path / "tiny.toml", recipe())
    assert main([str(path), str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert "parameters, 6 steps on cpu" in lines[0]
    assert [line.split()[:2] for line in lines[1:]] == [["step", step] for step in "2346"]
    assert all("nats/byte" in line and "bits/byte" in line and "tokens/s" in line for line in lines[1:])


def test_errors_are_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: python -m howfar.training RECIPE [OUTPUT]")
    assert main([]) == 2
    assert main([str(tmp_path / "missing.toml")]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("usage: python -m howfar.training RECIPE [OUTPUT]")
    assert err[1].startswith("error: there is no recipe")
    assert len(err) == 2


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, ConfigError, "the training loss is nan after step 2: training diverged; train with a lower learning_rate"),
        (
            {"eval_strategy": "steps", "eval_steps": 1, "logging_steps": 9},
            ConfigError,
            "the held-out loss is nan after",
        ),
        (
            {"max_steps": 1, "logging_steps": 1, "learning_rate": 1e38},
            CheckpointError,
            "the trained model: .* NaN or infinite.*lower learning",
        ),
    ],
)
def test_training_that_diverges_ends_by_name(
    recipe: MakeRecipe, tmp_path: Path, options: dict[str, Any], error: type[HowFarError], said: str
) -> None:
    with pytest.raises(error, match=said):
        train(recipe(trainer={"learning_rate": 1e30, **options}), tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "training.json").exists()

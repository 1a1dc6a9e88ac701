import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from howfar.corpus.corpus import Corpus
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import override
from howfar.text.marks import choose_mark
from howfar.text.tokenizer import byte_tokenizer
from howfar.training.console import log_line
from howfar.training.data import TrainingWindows
from howfar.training.recipe import Recipe
from howfar.training.run import fit
from howfar.training.runs import Run
from howfar.training.trainer import IncrementTrainer, increment_statistics

INPUT_IDS = torch.arange(12).view(2, 6)


def model_of(recipe: Recipe) -> HowFarForCausalLM:
    return HowFarForCausalLM(recipe.model_config())


@pytest.fixture
def trainer(recipe: Callable[..., Recipe], corpus: Corpus, tmp_path: Path) -> IncrementTrainer:
    """A trainer on a corpus whose tokens are two bytes on average."""
    plan = recipe()
    two_bytes_a_token = np.array([2 * len(corpus.train.tokens)])
    train = dataclasses.replace(corpus.train, num_bytes=two_bytes_a_token)
    return IncrementTrainer(
        model=model_of(plan),
        run=Run(recipe=plan, corpus=dataclasses.replace(corpus, train=train), output=tmp_path, length=32),
        train_dataset=TrainingWindows(corpus.train, 32, 0, 24),
        processing_class=byte_tokenizer(),
    )


def test_losses_are_logged_in_nats_and_bits_per_byte(trainer: IncrementTrainer) -> None:
    trainer.log({"loss": 3.0})
    (entry,) = trainer.state.log_history
    assert entry["nats_per_byte"] == pytest.approx(1.5, rel=1e-6)
    assert entry["bits_per_byte"] == pytest.approx(1.5 / math.log(2))


def test_tokens_per_second_count_all_windows_since_the_last_log(
    trainer: IncrementTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read when the clock starts, and by each log before and after it writes.
    times = iter([100.0, 102.0, 102.5, 103.5, 104.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    trainer.restart_clock()
    for step in (5, 7):
        trainer.state.global_step = step
        trainer.log({"loss": 3.0})
    speeds = [entry["tokens_per_second"] for entry in trainer.state.log_history]
    assert speeds == [5 * 4 * 32 / 2.0, 2 * 4 * 32 / 1.0]


def test_evaluation_scores_the_held_out_documents(trainer: IncrementTrainer) -> None:
    metrics = trainer.evaluate()
    assert metrics["eval_nats_per_byte"] == pytest.approx(math.log(257), rel=0.02)  # an untrained model
    assert metrics["eval_bits_per_byte"] == pytest.approx(metrics["eval_nats_per_byte"] / math.log(2))
    assert metrics.items() <= trainer.state.log_history[-1].items()


def test_evaluation_has_the_loss_of_the_finished_model(
    recipe: Callable[..., Recipe], corpus: Corpus, tmp_path: Path
) -> None:
    tokenizer = byte_tokenizer()
    choose_mark(tokenizer, "a")  # as another tokenizer's beginning of sequence, not what is between documents
    plan = recipe(trainer={"eval_strategy": "steps", "eval_steps": 6, "save_strategy": "no"})
    record = fit(Run(recipe=plan, corpus=corpus, output=tmp_path, length=32), model_of(plan), tokenizer, progress=False)
    (glance,) = [entry for entry in json.loads((tmp_path / "log.json").read_text()) if "eval_loss" in entry]
    assert glance["eval_nats_per_byte"] == pytest.approx(record["held_out"]["nats_per_byte"], rel=1e-6)


def test_statistics_are_those_of_the_increments_in_use(recipe: Callable[..., Recipe]) -> None:
    model = model_of(recipe()).train()
    planted = torch.tensor([[9.95, 1.0, 1.0], [9.85, 3.0, 3.0]])

    def plant(layer: int, increments: Tensor) -> Tensor:
        return planted[:, None] - layer

    with override(model, plant):
        statistics = increment_statistics(model, torch.ones(2, 3, dtype=torch.long))
    assert statistics == {
        "increment_mean/layer_0": pytest.approx(planted.mean().item()),
        "increment_std/layer_0": pytest.approx(planted.std().item()),
        "increment_saturated/layer_0": pytest.approx(1 / 6),
        "increment_mean/layer_1": pytest.approx(planted.mean().item() - 1),
        "increment_std/layer_1": pytest.approx(planted.std().item()),
        "increment_saturated/layer_1": 0,
    }
    assert model.training


def test_shared_increments_are_told_once(recipe: Callable[..., Recipe]) -> None:
    shared = model_of(recipe(increments={"scope": "shared", "bound": "softplus"}))
    assert increment_statistics(shared, INPUT_IDS) == {"increment_mean/layer_0": 1, "increment_std/layer_0": 0}


def test_plain_positions_have_no_statistics(recipe: Callable[..., Recipe]) -> None:
    assert increment_statistics(model_of(recipe(increments=None)), INPUT_IDS) == {}


def test_a_log_is_one_line() -> None:
    logs = {"nats_per_byte": 1.5, "bits_per_byte": 2.164, "tokens_per_second": 5275.4, "grad_norm": 1.0}
    assert log_line(logs) == "1.5000 nats/byte  2.1640 bits/byte  5,275 tokens/s"
    increments = {"increment_mean/layer_0": 1.234, "increment_std/layer_0": 0.5, "increment_mean/layer_1": 10.0}
    assert log_line({**logs, **increments}).endswith("  increments 1.23 10.00")
    held_out = {"eval_loss": 1.0, "eval_nats_per_byte": 1.0, "eval_bits_per_byte": 1.443}
    assert log_line(held_out) == "1.0000 nats/byte  1.4430 bits/byte  held out"
    assert log_line({"train_runtime": 3.0}) == ""

"""Transformers' Trainer, with the units, the evaluation and the increment statistics of this project."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from howfar.errors import NoIncrementsError
from howfar.positions import increments_of, record
from howfar.text.corpus import Corpus
from howfar.training.checkpoints import write_record
from howfar.training.evaluation import document_losses

GLANCE_WINDOWS = 256  # held-out windows in an evaluation during training
SATURATED = 0.01  # an increment within 1% of its bound counts as saturated


class IncrementTrainer(Trainer):
    """Trainer that also says nats and bits per byte, and what the increments do.

    Args:
        corpus: Evaluated on its held-out documents.
        length: Tokens in a window.
        **kwargs: Those of `transformers.Trainer`.
    """

    def __init__(self, *, corpus: Corpus, length: int, **kwargs: Any) -> None:
        super().__init__(eval_dataset=[], **kwargs)
        self.corpus, self.length = corpus, length
        split = corpus.train
        self.tokens_per_byte = len(split.tokens) / max(1, int(split.num_bytes.sum()))
        self.probe = [self.train_dataset[index]["input_ids"] for index in range(min(4, len(self.train_dataset)))]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add nats and bits per byte and the increments' statistics to the training loss."""
        if "loss" in logs:
            nats = logs["loss"] * self.tokens_per_byte
            logs = {**logs, "nats_per_byte": nats, "bits_per_byte": nats / math.log(2)}
            model = getattr(self.model_wrapped, "_orig_mod", self.model_wrapped)
            logs.update(increment_statistics(model, torch.stack(self.probe).to(self.args.device)))
        super().log(logs, start_time)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Score the first held-out windows, whole documents at a time."""
        if not self.corpus.held_out.num_documents:
            return {}
        losses = document_losses(
            self.model,
            self.corpus.held_out,
            length=self.length,
            batch_size=self.args.per_device_eval_batch_size,
            max_windows=GLANCE_WINDOWS,
        )
        metrics = {
            f"{metric_key_prefix}_loss": losses.nats_per_byte,
            f"{metric_key_prefix}_nats_per_byte": losses.nats_per_byte,
            f"{metric_key_prefix}_bits_per_byte": losses.bits_per_byte,
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


@torch.no_grad()
def increment_statistics(model: nn.Module, input_ids: Tensor) -> dict[str, float]:
    """Mean, spread and saturation of each layer's increments on some windows; empty without increments.

    Args:
        model: Any model.
        input_ids: `[window, token]`.
    """
    try:
        config = increments_of(model).config
    except NoIncrementsError:
        return {}
    was_training = model.training
    model.eval()
    with record(model) as recording:
        model(input_ids=input_ids, use_cache=False)
    model.train(was_training)
    statistics = {}
    for layer, increments in recording.increments.items():
        statistics[f"increment_mean/layer_{layer}"] = increments.mean().item()
        statistics[f"increment_std/layer_{layer}"] = increments.std().item()
        if config.bound == "sigmoid":
            near = increments > (1 - SATURATED) * config.max_increment
            statistics[f"increment_saturated/layer_{layer}"] = near.float().mean().item()
        if config.scope == "shared":
            break
    return statistics


class RecordCallback(TrainerCallback):
    """Completes each checkpoint with the record that marks it as whole."""

    def __init__(self, training_record: dict[str, Any]) -> None:
        self.record = training_record

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: D102
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            write_record(folder, {**self.record, "step": state.global_step})

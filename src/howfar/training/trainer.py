"""Transformers' Trainer, with this project's units, evaluation and increment statistics."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_utils import rotate_checkpoints

from howfar.errors import CheckpointError, ConfigError
from howfar.files import removed_if_unwritten
from howfar.models.increments import increment_config
from howfar.models.loading import load
from howfar.positions.bounds import bound_of
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.training.checkpoints import mark_as_whole, remove_incomplete
from howfar.training.evaluation import DocumentLosses, held_out_losses
from howfar.training.flow import Beginning, Flow
from howfar.training.optimizer import give_increments_their_rate, with_muon
from howfar.training.recipe import BaseRecipe
from howfar.training.runs import Run, refused_by

GLANCE_WINDOWS = 256  # held-out windows in an evaluation during training
PROBE_WINDOWS = 4  # training windows on which the increments are observed
OF_THE_MACHINE = (torch.OutOfMemoryError, *([torch.AcceleratorError] if hasattr(torch, "AcceleratorError") else []))
SATURATED = 0.01  # an increment within 1% of its bound counts as saturated


class IncrementTrainer(Trainer):
    """A Trainer that also logs nats and bits per byte, and statistics of the increments.

    Args:
        run: The run; its record is written last into each checkpoint, and so marks it as complete.
        **kwargs: More arguments of `transformers.Trainer`.
    """

    def __init__(self, *, run: Run[BaseRecipe], **kwargs: Any) -> None:
        self._begun: int | None = None
        callbacks = [Beginning(self.begin), *(kwargs.pop("callbacks", None) or ())]
        super().__init__(args=run.arguments, eval_dataset=[], callbacks=callbacks, **kwargs)
        self.add_callback(Flow(self.restart_clock))
        self.run = run
        split = run.corpus.train
        self.tokens_per_byte = len(split.tokens) / max(1, int(split.num_bytes.sum()))
        num_probes = min(PROBE_WINDOWS, len(self.train_dataset))
        self.probe = torch.stack([self.train_dataset[index]["input_ids"] for index in range(num_probes)])
        self._operations: dict[int, int] = {}
        self._parameters: list[nn.Parameter] = []
        self.is_lean = run.recipe.lean_step
        if self.is_lean and (self.args.n_gpu > 1 or self.args.world_size > 1 or self.args.fp16):
            raise ConfigError(
                "recipe: lean_step is true, but works on one device without fp16 only; leave it out, or use one device"
            )
        self.restart_clock()

    def begin(self) -> None:
        """Remember the step that this process starts at."""
        self._begun = self.state.global_step

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train.

        Raises:
            ConfigError: What training prepares before its first step refuses one of the trainer's options.
        """
        try:
            return super().train(*arguments, **options)
        except (OSError, MemoryError, *OF_THE_MACHINE):
            raise
        except Exception:
            if self._begun is not None:
                raise
            with refused_by("Transformers"):
                raise

    def restart_clock(self) -> None:
        """Count tokens per second from here, without evaluations and checkpoints."""
        self._clock = (self.state.global_step, time.perf_counter())

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Make the optimiser; increment networks and matrices get the recipe's rates.

        Raises:
            ConfigError: It refuses one of the trainer's options.
        """
        is_new = self.optimizer is None
        with refused_by("the optimiser"):
            optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if is_new:
            model, recipe = model or self.model, self.run.recipe
            if recipe.increment_learning_rate is not None:
                give_increments_their_rate(optimizer, model, recipe.increment_learning_rate)
            if recipe.muon_learning_rate is not None:
                rate, decay = recipe.muon_learning_rate, self.args.weight_decay
                optimizer = with_muon(optimizer, model, learning_rate=rate, weight_decay=decay)
            self.optimizer: torch.optim.Optimizer | None = optimizer
        return optimizer

    def create_scheduler(self, *arguments: Any, **options: Any) -> Any:
        """Make the schedule of learning rates.

        Raises:
            ConfigError: It refuses one of its options.
        """
        with refused_by("the schedule"):
            return super().create_scheduler(*arguments, **options)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor | Any], num_items_in_batch: Any = None
    ) -> Tensor:
        """Forward and backward; a lean step skips Trainer's work for several devices."""
        if not self.is_lean:
            return super().training_step(model, inputs, num_items_in_batch)
        if not model.training:  # setting the mode visits all modules
            model.train()
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, self._prepare_inputs(inputs), num_items_in_batch=num_items_in_batch)
        if not (self.model_accepts_loss_kwargs and num_items_in_batch is not None):
            loss = loss / self.current_gradient_accumulation_steps
        loss.backward()
        return loss.detach()

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip all gradients together; a lean step collects the parameters once."""
        if not self.is_lean:
            return super()._clip_grad_norm(model)
        if not self._parameters:
            self._parameters = list(model.parameters())
        return nn.utils.clip_grad_norm_(self._parameters, self.args.max_grad_norm)

    def floating_point_ops(self, inputs: dict[str, Tensor | Any]) -> int:
        """Operations of a batch. Transformers visits all modules to count parameters; once is enough."""
        num_tokens = inputs["input_ids"].numel()
        if num_tokens not in self._operations:
            self._operations[num_tokens] = super().floating_point_ops(inputs)
        return self._operations[num_tokens]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add nats and bits per byte, tokens per second and the increments' statistics to the training loss.

        Raises:
            ConfigError: A loss is NaN or infinite.
        """
        for name in ("loss", "eval_loss"):
            if not math.isfinite(logs.get(name, 0)):
                raise ConfigError(
                    f"the {'held-out' if name == 'eval_loss' else 'training'} loss is {logs[name]} after step "
                    f"{self.state.global_step:,}: training diverged; train with a lower learning_rate, in a new folder"
                )
        if "train_loss" in logs and self.state.global_step == self._begun:
            del logs["train_loss"]  # no step, no loss; Transformers says 0
        if "loss" in logs:
            nats = logs["loss"] * self.tokens_per_byte
            step, seconds = self._clock
            model: Any = self.model_wrapped
            bare = getattr(model, "_orig_mod", self.accelerator.unwrap_model(model))
            tokens = (self.state.global_step - step) * self.run.windows_per_step * self.run.length
            logs = {
                **logs,
                "nats_per_byte": nats,
                "bits_per_byte": nats / math.log(2),
                "tokens_per_second": tokens / (time.perf_counter() - seconds),
                # Uncompiled: observing a compiled model would compile it a second time.
                **increment_statistics(bare, self.probe.to(self.args.device)),
            }
        super().log(logs, start_time)
        self.restart_clock()

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """A quick estimate on held-out documents: windows drawn from them. `Run` knows what it returns."""
        losses = self._losses(self.model, GLANCE_WINDOWS, batch_size=self.args.per_device_eval_batch_size)
        if losses is None:
            return {}
        metrics = {
            f"{metric_key_prefix}_loss": losses.nats_per_byte,
            f"{metric_key_prefix}_nats_per_byte": losses.nats_per_byte,
            f"{metric_key_prefix}_bits_per_byte": losses.bits_per_byte,
        }
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def score(self, max_windows: int | None) -> dict[str, Any] | None:
        """The loss on at most so many held-out windows, for the run's record; only the main process reports it."""
        if not self.is_world_process_zero():
            return None
        # In the form in which it will be loaded: without the wrappers of mixed precision and compilation.
        model = self.accelerator.unwrap_model(self.model_wrapped, keep_fp32_wrapper=False, keep_torch_compile=False)
        losses = self._losses(model, max_windows)
        return None if losses is None else losses.summary()

    def _losses(self, model: nn.Module, max_windows: int | None, **options: Any) -> DocumentLosses | None:
        length, tokenizer = self.run.length, self.processing_class
        return held_out_losses(model, tokenizer, self.run.corpus, length=length, max_windows=max_windows, **options)

    def take(self, folder: Path) -> None:
        """Take the weights of a finished run, which needs no training."""
        self.model.load_state_dict(load(folder, dtype=self.model.dtype).state_dict())

    def save_after_training(self) -> None:
        """Write a checkpoint of the last step. The summary of this process's part of the run is not kept in it."""
        history = self.state.log_history
        if history and "train_runtime" in history[-1]:
            history.pop()
        self._save_checkpoint(self.model_wrapped, None)
        self.callback_handler.on_save(self.args, self.state, self.control)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Whether `save_strategy = "best"` saves: the metric is the best so far, or a callback asked for it."""
        return super()._determine_best_metric(metrics, trial) or self.control.should_save

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, then the record that marks it as complete, and only then delete older ones."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with removed_if_unwritten(folder, folder):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    mark_as_whole(folder, self.run.record(step=self.state.global_step))
        finally:
            self.args.save_total_limit = limit
        if self.is_world_process_zero():
            remove_incomplete(folder.parent)  # rotation would keep the highest step, and delete complete checkpoints
        if self.args.should_save:
            rotate_checkpoints(self.args.output_dir, limit, best_model_checkpoint=self.state.best_model_checkpoint)
        self.restart_clock()

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Refuse a checkpoint that does not fit. It stores tied weights once, which is enough."""
        tied = getattr(self.model, "all_tied_weights_keys", {})
        missing = [name for name in load_result.missing_keys if name not in tied]
        for kind, names in (("lacks", missing), ("holds an unknown", load_result.unexpected_keys)):
            if names:
                raise CheckpointError(
                    f"the newest checkpoint in {self.args.output_dir} {kind} {names[0]}; remove that checkpoint to "
                    "continue from the previous one, or choose another output folder"
                )


@torch.no_grad()
def increment_statistics(model: nn.Module, input_ids: Tensor) -> dict[str, float]:
    """Mean, spread and saturation of each layer's increments on some windows; empty without increments.

    Args:
        model: Any model.
        input_ids: `[window, token]`.
    """
    config = increment_config(model)
    if config is None:
        return {}
    windows = [Window(number, tokens) for number, tokens in enumerate(input_ids.cpu().numpy())]
    reading = Reader(model, context=input_ids.shape[1]).read_together(windows, "increments")
    statistics: dict[str, Tensor] = {}
    for layer, increments in reading.increments.items():
        statistics[f"increment_mean/layer_{layer}"] = increments.mean()
        statistics[f"increment_std/layer_{layer}"] = increments.std()
        nearly_highest = bound_of(config).saturation(SATURATED)[1]
        if math.isfinite(nearly_highest):
            near = increments > nearly_highest
            statistics[f"increment_saturated/layer_{layer}"] = near.float().mean()
        if config.scope == "shared":
            break
    # All in one transfer, so the host waits for the device once.
    return dict(zip(statistics, torch.stack(list(statistics.values())).tolist(), strict=True))

"""How far a run has come: a finished run stays as it is, and no record has settings that no step used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from transformers import TrainingArguments

from howfar.errors import CheckpointError
from howfar.models.manifest import read_manifest, verified
from howfar.training.checkpoints import (
    FOLLOWING,
    RECORD,
    check_checkpoint,
    check_same_run,
    last_complete_checkpoint,
    read_record,
    step_of,
)
from howfar.training.recipe import BaseRecipe
from howfar.training.runs import Run

OF_EVALUATION = "eval_"
HARMLESS = ("log_", "logging_", OF_EVALUATION, "save_", "dataloader_", "ddp_", "hub_", "trackio_")
"""Beginnings of options that no weight depends on."""

HARMLESS_ALONE = (
    "per_device_train_batch_size", "gradient_accumulation_steps",  # windows per step are compared
    "per_device_eval_batch_size", "metric_for_best_model", "greater_is_better", "use_cpu", "disable_tqdm", "report_to",
    "run_name", "project", "include_num_input_tokens_seen", "skip_memory_metrics", "torch_empty_cache_steps", "debug",
    "activation_checkpointing", "activation_checkpointing_kwargs", "gradient_checkpointing",
    "gradient_checkpointing_kwargs", "restore_callback_states_from_checkpoint",
)  # fmt: skip
"""Other options that no weight depends on."""

OF_SCORES = ("held_out_windows",)
"""What else in a recipe a finished run's record depends on, and a continued run may change."""


@dataclass(frozen=True)
class SoFar:
    """What is there of a run.

    Attributes:
        checkpoint: Its last complete checkpoint.
        finished: The record of its model, if it is finished and its files are whole.
        trainer: The options of the trainer that its last step used, if no step is left.
    """

    checkpoint: Path | None
    finished: dict[str, Any] | None = None
    trainer: dict[str, Any] | None = None

    @classmethod
    def of(cls, run: Run[BaseRecipe]) -> Self:
        """Look into a run's folder.

        Raises:
            CheckpointError: It holds another run or a longer one; or a run without a step left for other settings.
        """
        output, now, max_steps = run.output, run.record(), run.arguments.max_steps
        checkpoint = last_complete_checkpoint(output)
        newest = _newest(output, checkpoint)
        if newest is None:
            return cls(None)
        for folder in dict.fromkeys((checkpoint or newest, newest)):
            check_same_run(folder, run.recipe, now)
        if checkpoint is not None:
            check_checkpoint(checkpoint)
        record = read_record(newest)
        if record.get("step") != max_steps:
            return cls(checkpoint)
        _check_used(output, record, now)
        trainer = record["recipe"].get("trainer", {}) if step_of(checkpoint) == max_steps else None
        finished = record if newest == output and _is_whole(output) else None
        return cls(checkpoint, finished, trainer)

    def used(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record of a run's end, with the options that its steps used."""
        if self.trainer is None:
            return record
        return {**record, "recipe": {**record["recipe"], "trainer": self.trainer}}


def _newest(output: Path, checkpoint: Path | None) -> Path | None:
    """The finished model's folder, or a checkpoint that is further."""
    if not (output / RECORD).exists():
        return checkpoint
    if checkpoint is None:
        return output
    try:
        return output if read_record(output).get("step", 0) >= step_of(checkpoint) else checkpoint
    except CheckpointError:  # the checkpoint writes it again
        return checkpoint


def _is_whole(folder: Path) -> bool:
    """Whether a finished model's files are as they were written; a checkpoint can replace those that are not."""
    try:
        with verified(folder):
            return read_manifest(folder) is not None
    except CheckpointError:
        return False


def _check_used(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse settings that would change the model or its losses, where no step is left to use them."""
    recipes = [record["recipe"] for record in (before, json.loads(json.dumps(now)))]  # tuples become lists
    defaults = {option.name: option.default for option in fields(TrainingArguments)}
    options = [{**defaults, **recipe.get("trainer", {})} for recipe in recipes]
    follows = any(one["lr_scheduler_type"] in FOLLOWING for one in options)
    harmless = tuple(start for start in HARMLESS if start != OF_EVALUATION or not follows)
    changed = [
        name
        for name in options[1]
        if (options[0].get(name) or None) != (options[1][name] or None)
        and not name.startswith(harmless)
        and name not in HARMLESS_ALONE
    ]
    changed += [name for name in OF_SCORES if recipes[0].get(name) != recipes[1].get(name)]
    if changed:
        raise CheckpointError(
            f"{folder} holds a run at its last step, {before['step']:,}, with another {' and '.join(changed)}, and no "
            "step is left to use that; choose more steps, another output folder, or the settings that it was trained "
            "with"
        )

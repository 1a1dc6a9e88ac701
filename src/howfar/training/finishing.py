"""The end of a run: the finished model is written, read back, compared, and only then moved into place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.trainer import TRAINING_ARGS_NAME

from howfar.files import open_to_readers, removed_if_unwritten
from howfar.models.loading import load
from howfar.models.manifest import write_manifest
from howfar.models.tensors import check_finite
from howfar.models.unwrapping import learned_tensors
from howfar.models.verification import check_saved
from howfar.training.checkpoints import RECORD, write_record
from howfar.training.trainer import IncrementTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WHERE_DIVERGED = "train with a lower learning_rate, in a new folder"


def write(trainer: IncrementTrainer, record: dict[str, Any], output: Path) -> None:
    """Write the trained model, its log and its record."""
    partial = output / ".partial"
    with removed_if_unwritten(partial, output):
        if trainer.is_world_process_zero():
            shutil.rmtree(partial, ignore_errors=True)  # left by a killed run
        trainer.accelerator.wait_for_everyone()
        trainer.save_model(str(partial))
        if trainer.is_world_process_zero():
            _publish(trainer, record, partial, output)


def _check_written(trainer: IncrementTrainer, folder: Path) -> None:
    """Read the finished model back and compare it; if this process holds only part of it, only read it back."""
    model: PreTrainedModel = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        load(folder)
    else:
        check_finite(learned_tensors(model), "the trained model", advice=_WHERE_DIVERGED)
        check_saved(model, folder, load)


def _publish(trainer: IncrementTrainer, record: dict[str, Any], partial: Path, output: Path) -> None:
    """Move the finished model's files into the run's folder, file by file, and write the record last."""
    log = json.dumps(trainer.state.log_history, indent=1)
    (partial / "log.json").write_text(log + "\n", encoding="utf-8")
    (partial / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle; the record replaces it
    open_to_readers(partial)
    write_manifest(partial)
    _check_written(trainer, partial)
    (output / RECORD).unlink(missing_ok=True)
    for file in partial.iterdir():
        file.replace(output / file.name)
    partial.rmdir()
    write_record(output, record)

"""Checkpoints that can be trusted: a run resumes only from one that was written completely."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.corpus.corpus import MANIFEST
from howfar.errors import CheckpointError, OutputError
from howfar.files import open_to_readers, write_file
from howfar.inputs import read_json, sha256
from howfar.models.manifest import describe_files
from howfar.models.publishing import without_places

if TYPE_CHECKING:
    from howfar.training.recipe import BaseRecipe

RECORD = "training.json"
"""Written last into each checkpoint, so its presence shows that everything else is there."""

LOCK = ".lock"
"""Exists in a run's folder while a process works there."""

NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt")
"""What every checkpoint must contain besides weights."""

KEPT_BY_OPTIMIZER = (
    "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "optim", "optim_args",
)  # fmt: skip
"""Options of `TrainingArguments` that come back with the optimiser's state: another value would have no effect."""

KEPT_BY_SCHEDULE = ("lr_scheduler_type", "lr_scheduler_kwargs")
"""Options that come back with the state of a schedule that follows the held-out loss."""

FOLLOWING = ("reduce_lr_on_plateau", "greedy")
"""Schedules that follow the held-out loss. All others are functions of the step, and may change."""


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record into a folder, completely or not at all."""
    write_file(folder / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """Read how the model in a folder was trained.

    Raises:
        CheckpointError: The folder has no readable record.
    """
    try:
        record = read_json(folder / RECORD)
        if not isinstance(record, dict) or not {"recipe", "corpus"} <= record.keys():
            raise ValueError("it lacks the recipe or the corpus")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} has no readable {RECORD} ({error}); name a folder that training wrote"
        ) from None
    return record


def window_length(record: Mapping[str, Any]) -> int:
    """Tokens in a training window, by a record."""
    from howfar.models.configuration import HowFarConfig  # slow to import

    recipe = record["recipe"]
    if "context" in recipe:  # a graft
        return int(recipe["context"])
    return int(recipe["model"].get("max_position_embeddings", HowFarConfig.max_position_embeddings))


def mark_as_whole(checkpoint: Path, record: Mapping[str, Any]) -> None:
    """Write the record into a checkpoint, with the sizes and hashes of all other files there.

    Args:
        checkpoint: A checkpoint whose files are all written.
        record: The run's record, with `step`.
    """
    open_to_readers(checkpoint)
    write_record(checkpoint, {**record, "files": describe_files(checkpoint)})


def check_checkpoint(checkpoint: Path) -> None:
    """Refuse a checkpoint whose files are not the ones that training wrote, before any of them is used.

    Raises:
        CheckpointError: A file is missing or changed, or the step differs from the one in the folder's name.
    """
    advice = f"remove {checkpoint} to continue from the previous checkpoint, or choose another output folder"
    record = read_record(checkpoint)
    # Checkpoints of earlier versions have no list: for them, only missing files are noticed.
    check_files(checkpoint, record.get("files", {}), advice=advice)
    for name in NEEDED:
        if not (checkpoint / name).is_file():
            raise CheckpointError(f"{checkpoint / name} is missing; {advice}")
    named = step_of(checkpoint)
    try:
        reached = read_json(checkpoint / NEEDED[0])["global_step"]
    except (OSError, ValueError, KeyError, TypeError):
        reached = "no readable step"
    for file, step in ((NEEDED[0], reached), (RECORD, record.get("step"))):
        if step != named:
            raise CheckpointError(f"{checkpoint / file} says {step}, its folder step {named}; {advice}")


def check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]], *, advice: str) -> None:
    """Compare the sizes and SHA-256 of a folder's files with its list.

    Args:
        folder: The files' folder. Files that are not in the list are ignored.
        listed: From `describe_files`; a file with a check of its own only needs to exist.
        advice: What to do about a difference, for messages.

    Raises:
        CheckpointError: A file is missing or changed.
    """
    for name, expected in listed.items():
        file = folder / name
        try:
            size, written = file.stat().st_size, expected.get("bytes")
            wrong = "" if written in (None, size) else f"has {size:,} bytes, but {written:,} were written"
            if expected and not wrong and sha256(file) != expected["sha256"]:
                wrong = "has changed since it was written (its SHA-256 differs)"
        except FileNotFoundError:
            wrong = "is missing"
        except OSError as error:
            wrong = f"cannot be read ({error.strerror})"
        if wrong:
            raise CheckpointError(f"{file} {wrong}; {advice}")


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of a run."""
    return max(((step, path) for step, path in _checkpoints(folder) if (path / RECORD).is_file()), default=(0, None))[1]


def step_of(checkpoint: Path | None) -> int:
    """The step that a checkpoint was saved at, from its folder's name; 0 for none."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def remove_incomplete(folder: Path) -> None:
    """Remove the checkpoints that a killed run left half written; the process must hold the run's lock."""
    for _, path in _checkpoints(folder):
        if not (path / RECORD).is_file():
            shutil.rmtree(path, ignore_errors=True)


def _checkpoints(folder: Path) -> Iterator[tuple[int, Path]]:
    """Each checkpoint's step and folder, complete or not."""
    for path in folder.glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", path.name):
            yield int(match[1]), path


def check_folder(folder: Path) -> None:
    """Refuse to write a run into a folder with other files.

    Raises:
        OutputError: The folder is a file, or holds files but no run.
    """
    try:
        if not folder.exists():
            return
        is_run = (folder / RECORD).exists() or any(folder.glob("checkpoint-*"))
        is_free = folder.is_dir() and (is_run or not any(_holds_something(entry) for entry in folder.iterdir()))
    except OSError as error:
        raise OutputError(f"{folder} cannot be read ({error.strerror}); choose another output folder") from None
    if not is_free:
        kind = "holds files but no run" if folder.is_dir() else "is a file"
        raise OutputError(f"{folder} {kind}; choose another output folder, or one that does not exist yet")


def _holds_something(entry: Path) -> bool:
    """Whether an entry of a folder is a file, or another run or corpus: then the folder holds those."""
    if entry.is_file():
        return entry.name != LOCK
    return entry.name not in ("corpus", "baseline") and any((entry / name).exists() for name in (RECORD, MANIFEST))


def check_same_run(folder: Path, recipe: BaseRecipe, now: Mapping[str, Any]) -> None:
    """Refuse to continue, or to overwrite, a different run.

    Args:
        folder: A checkpoint or a finished run.
        recipe: The recipe to continue with.
        now: The present record.

    Raises:
        CheckpointError: The folder belongs to a different run, or to one that is longer already.
    """
    from transformers import TrainingArguments  # slow to import

    before = without_places(read_record(folder))  # earlier versions wrote paths too
    run = folder.parent if folder.name.startswith("checkpoint-") else folder
    # Earlier versions recorded a rate of increments for plain models too, where it had no effect.
    lasting = [name for name in recipe.LASTING if recipe.increments is not None or name != "increment_learning_rate"]
    changed = [name for name in lasting if before["recipe"].get(name) != now["recipe"][name]]
    defaults = {option.name: option.default for option in fields(TrainingArguments)}
    options = [{**defaults, **record["recipe"].get("trainer", {})} for record in (before, now)]
    changed += [name for name in KEPT_BY_OPTIMIZER if options[0][name] != options[1][name]]
    if any(one["lr_scheduler_type"] in FOLLOWING for one in options):
        changed += [name for name in KEPT_BY_SCHEDULE if (options[0][name] or {}) != (options[1][name] or {})]
    if len({_unit_of_best(one) for one in options} - {""}) > 1:
        changed.append("metric_for_best_model")
    if before["corpus"].get("hash") != now["corpus"]["hash"]:
        changed.append("corpus")
    if (before.get("start_from") or {}).get("sha256") != (now.get("start_from") or {}).get("sha256"):
        changed.append("start_from")
    if changed:
        raise CheckpointError(
            f"{run} holds a run with another {' and '.join(changed)}; choose another output folder, or the recipe and "
            "corpus that it started with"
        )
    reached, max_steps = before.get("step", 0), options[1]["max_steps"]
    if reached > max_steps:
        raise CheckpointError(
            f"{run} holds a run at step {reached:,}, but max_steps is {max_steps:,}; choose at least as many steps, or "
            "another output folder"
        )
    windows = before.get("windows_per_step", now["windows_per_step"])
    if windows != now["windows_per_step"]:
        raise CheckpointError(
            f"{run} holds a run with {windows} windows per step, but this one has {now['windows_per_step']}; choose "
            "per_device_train_batch_size x gradient_accumulation_steps x processes as before, or another output folder"
        )


def _unit_of_best(options: Mapping[str, Any]) -> str:
    """The unit of the best held-out loss, which a checkpoint keeps; empty if none is kept."""
    metric = options["metric_for_best_model"] or ("loss" if options["lr_scheduler_type"] in FOLLOWING else "")
    return {"loss": "nats_per_byte"}.get(metric.removeprefix("eval_"), metric.removeprefix("eval_"))

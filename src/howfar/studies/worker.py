"""The work for one run of a study, wherever it happens."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from howfar.locks import one_at_a_time
from howfar.studies.folder import RUNS, StudyFolder
from howfar.studies.runs import RESULT, PlannedRun, check_versions
from howfar.training.checkpoints import RECORD, read_record
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.graft_run import graft
from howfar.training.recipe import Recipe
from howfar.training.recipe_files import GRAFT
from howfar.training.run import train
from howfar.training.runs import versions

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE_SECONDS = 60
"""Seconds for a worker to save its run and end after its driver is gone."""


@dataclass(frozen=True)
class Job:
    """A run, and the place of its study."""

    run: PlannedRun
    location: str
    versions: Mapping[str, str]


def work(job: Job) -> None:
    """Train one run to its end, from its last complete checkpoint if there is one, and write down the result.

    Raises:
        CorpusError: The corpus here differs from the one that the study was planned with.
        StudyError: The packages installed here differ from those that the study was started with.
        HowFarError: Whatever training raises.
    """
    check_versions(job.versions, versions(), "this worker")
    job.run.corpus()
    place = StudyFolder(job.location)
    with place.folder_of(job.run.id) as folder:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock")
        with one_at_a_time(lock, guards=folder, patience_seconds=PATIENCE_SECONDS):
            if place.read_file(f"{RUNS}/{job.run.id}/{RESULT}"):  # the other worker finished it
                return
            is_new = not any(folder.rglob(RECORD))  # of a checkpoint or a model, also of a graft's baseline
            begun = time.monotonic()
            callbacks = [] if place.is_local else [_Keep(place, folder)]
            if job.run.recipe["kind"] == GRAFT:
                graft(GraftRecipe.from_dict(job.run.recipe), folder, callbacks=callbacks)
            else:
                train(Recipe.from_dict(job.run.recipe), folder, callbacks=callbacks)
            place.keep(folder)
            seconds = time.monotonic() - begun if is_new else None
            place.write(f"{RUNS}/{job.run.id}/{RESULT}", _result(job.run, folder, seconds))


def _result(run: PlannedRun, folder: Path, seconds: float | None) -> dict[str, Any]:
    """A run's result; the seconds are those of all its steps, so a run that was continued has none."""
    record = read_record(folder)
    return {
        "chosen": run.chosen,
        "data_order": run.data_order,
        "step": record["step"],
        "held_out": record.get("held_out"),
        "seconds": seconds and round(seconds, 1),
        "host": socket.gethostname(),
    }


class _Keep(TrainerCallback):
    """Copies each complete checkpoint to the study's place."""

    def __init__(self, place: StudyFolder, folder: Path) -> None:
        self.place, self.folder = place, folder

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        checkpoint = Path(str(args.output_dir), f"checkpoint-{state.global_step}")
        self.place.keep(self.folder, checkpoint.relative_to(self.folder))

"""Continue a study: plan it, do the missing runs, retry failed ones, report on all."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from howfar.errors import ConfigError, OutputError, StudyError
from howfar.files import refused_by_name
from howfar.foreign import harmless
from howfar.locks import one_at_a_time
from howfar.progress import bars_on
from howfar.studies.folder import RUNS, StudyFolder
from howfar.studies.planning import plan
from howfar.studies.processes import Ended, Processes
from howfar.studies.runs import RESULT, PlannedRun
from howfar.studies.specification import Specification
from howfar.studies.study import PLAN, Study
from howfar.studies.worker import Job, work
from howfar.training.checkpoints import LOCK
from howfar.training.runs import versions
from howfar.training.termination import EXIT_CODE
from howfar.training.trainer_options import below_full_rate

LOGS = "logs"


class Workers(AbstractContextManager[Any], Protocol):
    """Executes runs: processes on this machine, or tasks on a cluster. When it ends, all runs save themselves."""

    capacity: float

    def start(self, name: str, argument: Job, log: Path) -> None:
        """Begin a run."""

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """Wait until at least one run has ended; returns all that have."""


def study(
    specification: str | Path | Mapping[str, Any],
    output: str | Path,
    *,
    at_once: int = 1,
    retries: int = 1,
    ray: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
    progress: bool = True,
) -> Study:
    """Train all models of a study that are not there yet.

    A run that was stopped or killed continues from its last complete checkpoint; a finished one is not repeated. Runs
    have their own processes: a script that calls this must do so under `if __name__ == "__main__"`.

    Args:
        specification: The study's file, or its values.
        output: Folder of the study, or an fsspec address (`s3://…`).
        at_once: How many runs train at the same time on this machine; they share its threads.
        retries: How often a failed run is retried, each time from its last complete checkpoint.
        ray: Train on a Ray cluster instead: its address, or an empty string for a running one or else a new one.
        cpus: CPUs per run on Ray.
        gpus: GPUs per run on Ray; a fraction shares one.
        progress: Whether to write progress to standard error.

    Returns:
        The study, with `states` and `rows` of its runs; a failed run does not stop the others.

    Raises:
        ConfigError: A recipe is invalid.
        CorpusError: A corpus does not exist.
        InUseError: Another process runs the study.
        MissingExtraError: Ray, or a package that the address needs, is not installed.
        OutputError: The folder cannot be written.
        StudyError: The study is impossible, or does not fit the folder.
    """
    if at_once < 1 or retries < 0 or cpus < 0 or gpus < 0:
        raise ConfigError(
            f"at_once, retries, cpus and gpus are {at_once}, {retries}, {cpus} and {gpus}; at_once must be at least 1, "
            "the others 0 or more"
        )
    if at_once > 1 if ray is not None else (cpus, gpus) != (1, 0):
        raise ConfigError(
            "at_once is for runs on this machine, cpus and gpus are for runs on Ray; leave out what does not apply"
        )
    if hasattr(multiprocessing.current_process(), "_inheriting"):  # as multiprocessing itself finds out, but too late
        raise StudyError(
            "a worker of the study reads the script that started it, and would start it again; put the call of "
            'howfar.study under `if __name__ == "__main__":`'
        )
    asked = Specification.load(specification) if isinstance(specification, str | Path) else specification
    if not isinstance(asked, Specification):
        asked = Specification.from_dict(asked)
    place = StudyFolder(output)
    planned = Study(place, asked.name, plan(asked, versions()), versions())
    console = Console(stderr=True, quiet=not progress, highlight=False, soft_wrap=True)
    try:
        with _workers(ray, at_once=at_once, cpus=cpus, gpus=gpus) as workers, _alone(place), _told_to_end():
            if earlier := Study.find(place):
                planned.check_extends(earlier)
            planned.write()
            _go_on(planned, workers, retries, console)
    except (KeyboardInterrupt, SystemExit):
        console.print(harmless(f"{planned.name}: stopped; the same command continues"), markup=False)
        raise
    return planned


def _workers(ray: str | None, *, at_once: int, cpus: float, gpus: float) -> Workers:
    if ray is None:
        return Processes(work, at_once=at_once, preload=(work.__module__,))
    from howfar.studies.on_ray import RayTasks

    return RayTasks(work, ray, cpus=cpus, gpus=gpus)


@contextmanager
def _alone(place: StudyFolder) -> Iterator[None]:
    """Make the study's folder, and lock it against other drivers if possible."""
    if not place.is_local:
        yield
        return
    folder = Path(place.root)
    with refused_by_name(folder):
        inside = {entry.name for entry in folder.iterdir()} - {LOCK} if folder.exists() else set()
        if inside and PLAN not in inside:
            raise OutputError(f"{folder} holds files but no study; choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with one_at_a_time(folder / LOCK, guards=folder):
            yield
    finally:
        with suppress(OSError):  # not empty: it holds something to keep
            folder.rmdir()


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Leave the block when this process gets SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_CODE))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _go_on(study: Study, workers: Workers, retries: int, console: Console) -> None:
    """Do the missing runs; record failures, and retry each at most `retries` times."""
    missing = {state.run.id: state.run for state in study.states() if state.state != "finished"}
    said = Counter(below_full_rate(run.recipe["trainer"]) for run in missing.values())
    for line, number in said.items():
        if line:
            console.print(harmless(f"{study.name}: in {number} of {len(missing)} runs {line}"), markup=False)
    waiting, running, attempts = deque(missing), set[str](), Counter[str]()
    with bars_on(console) as bars:
        task = bars.add_task(study.name, total=len(study.runs), completed=len(study.runs) - len(missing))
        while waiting or running:
            while waiting and len(running) < workers.capacity:
                run = waiting.popleft()
                # Workers elsewhere are in other folders than this process.
                where = study.place.root if study.place.is_local else study.place.location
                workers.start(run, Job(missing[run], where, study.versions), _log(study, run))
                running.add(run)
            for run, error in workers.wait():
                running.remove(run)
                attempts[run] += 1
                again = error is not None and attempts[run] <= retries
                if again:
                    waiting.append(run)
                elif error is None:
                    bars.advance(task)
                console.print(harmless(_line(study, missing[run], error, again)), markup=False)
                study.note(run, error, attempts[run])  # last: the disk may be full


def _log(study: Study, run: str) -> Path:
    """The path of a run's output: in the study's folder, or relative to the current folder if outside it."""
    return Path(study.place.root if study.place.is_local else f"{study.name}-logs", LOGS, f"{run}.txt")


def _line(study: Study, run: PlannedRun, error: str | None, again: bool) -> str:
    """The outcome of a run, in words."""
    if error is not None:
        return f"{run.label}: {error}{'; retrying' if again else ''}"
    result = study.place.read_file(f"{RUNS}/{run.id}/{RESULT}")
    loss = (result.get("held_out") or {}).get("nats_per_byte")
    said = "finished" if loss is None else f"{loss:.4f} nats/byte held out"
    seconds = result.get("seconds")
    return f"{run.label}: {said}{'' if seconds is None else f', {seconds:,.0f} s'}"

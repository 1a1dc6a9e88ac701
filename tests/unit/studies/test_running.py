"""Studies in processes of this machine: trained, killed, extended, failed."""

import dataclasses
import errno
import itertools
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import howfar
from howfar.errors import ConfigError, CorpusError, InUseError, OutputError, StudyError
from howfar.files import refused_by_name
from howfar.studies.folder import StudyFolder
from howfar.studies.planning import plan
from howfar.studies.processes import Processes
from howfar.studies.specification import Specification
from howfar.studies.study import Study
from howfar.studies.worker import Job, work
from howfar.training.checkpoints import RECORD
from howfar.training.recipe import Recipe
from howfar.training.run import train
from howfar.training.runs import versions

PATIENCE_SECONDS = 120
LONG = {"max_steps": 30, "save_steps": 2, "logging_steps": 1}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name, tensor in first.items() if not torch.equal(tensor, second[name])] == []


def by_hand(recipe: Path, folder: Path, **settings: Any) -> Path:
    """As `howfar train RECIPE --set …` does."""
    train(Recipe.load(recipe, settings=[f"{key}={value}" for key, value in settings.items()]), folder, progress=False)
    return folder


def until(done: Any, what: str) -> Any:
    """Wait for something."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := done()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return found


def step_of(folder: Path) -> int:
    """The step of the newest checkpoint of a study's run."""
    found = (re.search(r"(\d+)/training.json", str(path)) for path in folder.glob("runs/*/checkpoint-*/training.json"))
    return max((int(match[1]) for match in found if match), default=0)


def steps_logged(folder: Path, run: str) -> list[int]:
    log = (folder / "logs" / f"{run}.txt").read_text()
    return [int(step.replace(",", "")) for step in re.findall(r"^step +([\d,]+)  \S+ nats/byte  \S+ bits", log, re.M)]


@contextmanager
def thread(work: Any) -> Iterator[None]:
    """Work meanwhile; its end is awaited, and what it raised is raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    working = threading.Thread(target=run)
    working.start()
    yield
    working.join(PATIENCE_SECONDS)
    assert not working.is_alive()
    if raised:
        raise raised[0]


def test_runs_equal_those_by_hand_and_a_study_is_extended(asked: Any, recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    study = howfar.study(asked(grid={"seed": [0, 1]}), folder, at_once=2, progress=False)
    first = study.states()
    assert [state.state for state in first] == ["finished", "finished"]
    assert all(state.row()["seconds"] > 0 for state in first)
    for state in first:
        alone = by_hand(recipe, tmp_path / "alone" / state.run.id, seed=state.run.chosen["seed"])
        assert_same(weights(alone), weights(folder / "runs" / state.run.id))
        record = json.loads((alone / "training.json").read_text())
        assert state.nats_per_byte == record["held_out"]["nats_per_byte"]
        assert record == json.loads((folder / "runs" / state.run.id / "training.json").read_text())
    touched = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*") if path.is_file()}
    extended = howfar.study(asked(grid={"seed": [0, 1, 2]}), folder, progress=False)
    assert [state.state for state in extended.states()] == ["finished"] * 3
    assert {path: path.stat().st_mtime_ns for path in touched} == touched
    assert extended.rows() == Study.open(folder).rows()


@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_a_killed_worker_goes_on_from_its_last_checkpoint(
    asked: Any, recipe: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # logs of a study elsewhere
    folder, study = tmp_path / "study", asked(set=LONG)
    with thread(lambda: howfar.study(study, address.format(folder), progress=False)):
        step = until(lambda: step_of(folder) >= 4 and step_of(folder), "a checkpoint")
        (worker,) = [child for child in multiprocessing.active_children() if len(child.name) == 12]
        worker.kill()
    (state,) = Study.open(folder).states()
    assert state.state == "finished", state.error
    logged = steps_logged(folder if address == "{}" else tmp_path / "tiny-logs", state.run.id)
    again = [step for before, step in itertools.pairwise(logged) if step <= before]
    assert len(again) <= 1
    assert all(begun > step for begun in again)
    assert set(logged) == set(range(1, 31))
    assert_same(weights(folder / "runs" / state.run.id), weights(by_hand(recipe, tmp_path / "alone", **LONG)))


def test_a_killed_copy_of_a_checkpoint_has_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, folder = StudyFolder(f"file://{tmp_path / 'study'}"), tmp_path / "run"
    for name in ("model.safetensors", RECORD):
        (folder / "checkpoint-4").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint-4" / name).write_text("{}")
    target = tmp_path / "study" / "runs" / "run" / "checkpoint-4"

    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", kill)
        with pytest.raises(KeyboardInterrupt):
            place.keep(folder, Path("checkpoint-4"))
    assert (target / "model.safetensors").is_file()
    assert not (target / RECORD).exists()
    place.keep(folder, Path("checkpoint-4"))
    assert sorted(path.name for path in target.iterdir()) == ["model.safetensors", RECORD]


@pytest.mark.parametrize("address", ["{}", "memory://{}"])
def test_a_folder_whose_name_looks_like_a_pattern_is_only_a_name(tmp_path: Path, address: str) -> None:
    place = StudyFolder(address.format(tmp_path / "rates[1]*?"))
    place.write("runs/abc/training.json", {"step": 3})
    place.write("runs/abc/checkpoint-3/training.json", {})
    assert place.read("runs/*/training.json") == {"abc": {"step": 3}}
    assert [path.rpartition("/runs/")[2] for path in place.glob("runs", "*", "checkpoint-*")] == ["abc/checkpoint-3"]
    with place.folder_of("abc") as folder:
        assert json.loads((folder / "training.json").read_text()) == {"step": 3}
        if not place.is_local:
            (folder / "checkpoint-3").rename(folder / "checkpoint-4")
            place.keep(folder, Path("checkpoint-4"))
            assert len(place.glob("runs", "*", "checkpoint-4")) == len(place.glob("runs", "*", "checkpoint-*")) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_driver_loses_nothing(asked: Any, recipe: Path, tmp_path: Path, number: int) -> None:
    seeds = [0, 1] if number == signal.SIGKILL else [0]
    folder, study = tmp_path / "study", asked(set=LONG, grid={"seed": seeds})
    driver = multiprocessing.get_context("forkserver").Process(
        target=howfar.study, args=(study, folder), kwargs={"progress": False}
    )
    driver.start()
    until(lambda: step_of(folder) >= 4, "a checkpoint")
    os.kill(driver.pid or 0, number)
    driver.join(PATIENCE_SECONDS)
    howfar.study(study, folder, at_once=2, progress=False)  # while the worker may still save
    states = Study.open(folder).states()
    assert [state.state for state in states] == ["finished"] * len(seeds)
    assert states[0].row()["seconds"] is None  # those of its last part are not those of the run
    for state in states:
        logged = steps_logged(folder, state.run.id)
        assert logged == sorted(set(logged))  # no step was taken twice
        assert set(logged) >= set(range(1, 31)) - {step_of(folder)}
        alone = by_hand(recipe, tmp_path / state.run.id, **LONG, seed=state.run.chosen["seed"])
        assert_same(weights(folder / "runs" / state.run.id), weights(alone))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_driver_says_so(
    asked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(Processes, "wait", lambda *_: signal.raise_signal(number))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background lacks
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        howfar.study(asked(set=LONG), tmp_path / "study")
    signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.splitlines()[-1] == "tiny: stopped; the same command continues"


def test_a_failed_run_is_told_and_hides_no_other(
    asked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = asked(set={"max_steps": 1}, grid={"max_position_embeddings": [100_000, 32]})
    study = howfar.study(values, tmp_path / "study", retries=1)
    failed, finished = study.states()
    assert (failed.state, finished.state) == ("failed", "finished")
    assert "one window needs 100000" in str(failed.error)
    with pytest.raises(StudyError, match=r"1 of 2 runs failed, first max_position.* 100000: .*same command"):
        study.check_finished()
    said = capsys.readouterr().err.splitlines()
    assert [line.endswith("; retrying") for line in said if "100000" in line] == [True, False]
    assert any(re.match(r"max_position_embeddings 32: \d\.\d{4} nats/byte held out", line) for line in said)


def test_a_script_without_a_guard_is_told_so(asked: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import howfar\nhowfar.study({asked()!r}, {str(tmp_path / 'study')!r}, retries=0)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert "StudyError: a worker of the study reads the script that started it" in done.stderr


@pytest.mark.parametrize("save_strategy", ["steps", "no"])
def test_a_worker_killed_before_it_wrote_the_result_leaves_the_run_as_it_is(
    asked: Any, tmp_path: Path, save_strategy: str
) -> None:
    (run,) = plan(Specification.from_dict(asked(set={"save_strategy": save_strategy})), versions())
    job, folder = Job(run, str(tmp_path), versions()), tmp_path / "runs" / run.id
    work(job)
    first = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    work(job)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    again = json.loads((folder / "result.json").read_text())
    assert first["seconds"] is not None
    assert again == {**first, "seconds": None}  # its steps took their time before


def test_a_worker_refuses_another_corpus_than_the_planned_one(asked: Any, tmp_path: Path) -> None:
    (run,) = plan(Specification.from_dict(asked()), versions())
    changed = dataclasses.replace(run, corpus_hash="of what was there before")
    with pytest.raises(CorpusError, match="is not the one that the study was planned with; put that one back"):
        work(Job(changed, str(tmp_path), versions()))


@pytest.mark.parametrize("options", [{"gpus": 1}, {"cpus": 2}, {"at_once": 2, "ray": ""}])
def test_options_of_another_kind_of_worker_are_refused(asked: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cpus and gpus are for runs on Ray; leave out what does not apply"):
        howfar.study(asked(), tmp_path / "study", **options)


def test_a_folder_of_other_files_or_in_use_or_full_is_refused(asked: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files but no study; choose another folder"):
        howfar.study(asked(), other, progress=False)
    assert [entry.name for entry in other.iterdir()] == ["notes.txt"]

    from howfar.locks import one_at_a_time

    used = tmp_path / "used"
    used.mkdir()
    with one_at_a_time(used / ".lock", guards=used), pytest.raises(InUseError, match="wait until that has ended"):
        elsewhere(lambda: howfar.study(asked(), used, progress=False))

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OutputError, match=r"study\.json cannot be written"):
            howfar.study(asked(), tmp_path / "full", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not (tmp_path / "full").exists()


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.txt"
    log.parent.mkdir()
    log.symlink_to("/dev/full")
    (tmp_path / "file").touch()
    with Processes(partial(print, flush=True), at_once=1) as processes:
        processes.start("full", "said", log)
        assert processes.wait() == [
            ("full", f"{log} cannot be written (No space left on device); make room, and start the command again")
        ]
        processes.start("no log", "said", tmp_path / "logs")
        ((_, said),) = processes.wait()
        assert re.fullmatch(r".*logs cannot be written \(Is a directory\); choose another name", str(said))
        with pytest.raises(OutputError, match=r"file/logs cannot be written"):
            processes.start("no folder", "said", tmp_path / "file" / "logs" / "run.txt")
        processes.start("readable", "said", tmp_path / "new.txt")
        assert processes.wait() == [("readable", None)]
    assert (tmp_path / "new.txt").read_text() == "said\n"
    assert not (tmp_path / "new.txt").stat().st_mode & 0o111


def test_a_run_that_fails_is_told_before_its_record_finds_the_disk_full(
    asked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(study: Study, *_: Any) -> None:
        with refused_by_name(study.place.location):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Study, "note", full)
    with pytest.raises(OutputError, match=r"study cannot be written \(No space left on device\)"):
        howfar.study(asked(set={"max_steps": 1, "max_position_embeddings": 100_000}), tmp_path / "study")
    assert "one window needs 100000" in capsys.readouterr().err


def elsewhere(work: Any) -> None:
    with thread(work):
        pass

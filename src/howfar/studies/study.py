"""A study in its folder: its plan, and the progress of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from howfar.errors import StudyError
from howfar.studies.folder import RUNS, StudyFolder
from howfar.studies.runs import RESULT, PlannedRun, RunState, check_versions
from howfar.training.checkpoints import RECORD

FORMAT, FORMAT_VERSION = "howfar-study", 1
PLAN = "study.json"
FAILURES = "failures"


class Study:
    """A study in its folder.

    Attributes:
        place: Its folder.
        name: Its name.
        runs: The planned runs, in order.
        versions: Versions of the packages that it was started with.
    """

    def __init__(self, place: StudyFolder, name: str, runs: Sequence[PlannedRun], versions: Mapping[str, str]) -> None:
        self.place, self.name, self.runs, self.versions = place, name, tuple(runs), dict(versions)

    @classmethod
    def open(cls, location: str | Path) -> Self:
        """Open a study.

        Raises:
            StudyError: There is no study, or its plan is damaged.
        """
        study = cls.find(StudyFolder(location))
        if study is None:
            raise StudyError(f"{location} holds no study: it has no {PLAN}; name a folder that `howfar study` wrote")
        return study

    @classmethod
    def find(cls, place: StudyFolder) -> Self | None:
        """The study at a place, if there is one.

        Raises:
            StudyError: Its plan is damaged.
        """
        if not place.files.exists(place.path(PLAN)):
            return None
        values = place.read_file(PLAN)
        if (values.get("format"), values.get("format_version")) != (FORMAT, FORMAT_VERSION):
            raise StudyError(f"{place.path(PLAN)} is not a plan that this howfar reads; give another folder")
        try:
            if not isinstance(values["name"], str):
                raise TypeError(f"its name is {values['name']!r}")
            return cls(place, values["name"], [PlannedRun(**run) for run in values["runs"]], values["versions"])
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise StudyError(f"{place.path(PLAN)} is damaged: {what}; give another folder") from None

    def write(self) -> None:
        """Write the plan.

        Raises:
            OutputError: It cannot be written.
        """
        values = {"name": self.name, "versions": self.versions, "runs": [asdict(run) for run in self.runs]}
        self.place.write(PLAN, {"format": FORMAT, "format_version": FORMAT_VERSION, **values})

    def check_extends(self, earlier: Study) -> None:
        """Refuse a folder with another study. A study may get more runs, and keeps its finished ones.

        Raises:
            StudyError: The folder holds another study, one started with other packages, or other finished runs.
        """
        where = self.place.location
        if earlier.name != self.name:
            raise StudyError(f"{where} contains the study {earlier.name!r}, not {self.name!r}; give another folder")
        check_versions(earlier.versions, self.versions, "this machine")
        planned = {run.id for run in self.runs}
        lost = [state for state in earlier.states() if state.state == "finished" and state.run.id not in planned]
        if lost:
            raise StudyError(
                f"{where} holds {len(lost)} finished runs that the study no longer has, for example "
                f"{lost[0].run.label}; put back their recipe, corpus or model, or give another folder"
            )

    def states(self) -> list[RunState]:
        """The progress of each run, in the order of the plan.

        Raises:
            OutputError: The folder cannot be read.
            StudyError: A result is damaged.
        """
        results = self.place.read(f"{RUNS}/*/{RESULT}")
        failures = self.place.read(f"{FAILURES}/*.json")
        steps: dict[str, int] = {}
        for path in self.place.glob(RUNS, "*", "checkpoint-*", RECORD):
            found = re.search(rf"/([^/]+)/checkpoint-(\d+)/{re.escape(RECORD)}$", path)
            if found:
                steps[found[1]] = max(steps.get(found[1], 0), int(found[2]))
        return [
            self._state(run, results.get(run.id), failures.get(run.id, {}).get("error"), steps.get(run.id, 0))
            for run in self.runs
        ]

    def _state(self, run: PlannedRun, result: dict[str, Any] | None, error: str | None, step: int) -> RunState:
        if result is None:
            return RunState(run, "failed" if error else "begun" if step else "waiting", step, error=error)
        if not isinstance(result.get("step"), int) or not isinstance(result.get("held_out") or {}, dict):
            file = self.place.path(RUNS, run.id, RESULT)
            raise StudyError(f"{file} is damaged; remove it, and the study writes it again")
        return RunState(run, "finished", result["step"], result)

    def note(self, run: str, error: str | None, attempts: int) -> None:
        """Record a run's error; if it has none, remove the record of an earlier one.

        Raises:
            OutputError: The record cannot be written.
        """
        file = f"{FAILURES}/{run}.json"
        if error is None:
            self.place.remove(file)
        else:
            self.place.write(file, {"error": error, "attempts": attempts})

    def check_finished(self) -> None:
        """Raise an error if runs failed.

        Raises:
            StudyError: A run failed.
        """
        failed = [state for state in self.states() if state.state == "failed"]
        if failed:
            raise StudyError(
                f"{len(failed)} of {len(self.runs)} runs failed, first {failed[0].run.label}: {failed[0].error}; "
                "fix the cause and start the same command again, which trains the missing runs"
            )

    def rows(self) -> list[dict[str, Any]]:
        """A table of the runs: their choices, progress and loss."""
        return [state.row() for state in self.states()]

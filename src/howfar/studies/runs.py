"""The runs of a study: what was planned, and how far each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from howfar.errors import StudyError

RESULT = "result.json"
"""In the folder of a run, written last: the run is finished."""

State = Literal["waiting", "begun", "failed", "finished"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        id: Its address: a hash of its recipe (the name left out), its corpus's content, and the versions.
        chosen: What tells it from the other runs, by key.
        recipe: The values of its recipe.
        corpus_hash: Of the corpus's content.
        data_order: Equal for runs that read the same windows in the same order: those of one seed, corpus and length of
            window. They are pairs, to be compared window by window.
    """

    id: str
    chosen: dict[str, Any]
    recipe: dict[str, Any]
    corpus_hash: str
    data_order: str

    @property
    def label(self) -> str:
        """What tells it from the others, in words."""
        return ", ".join(f"{key} {value}" for key, value in self.chosen.items()) or str(self.recipe["name"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        run: What was planned.
        state: `waiting`, `begun` (it has a whole checkpoint), `failed` or `finished`.
        step: Of its last whole checkpoint, or its end.
        result: What came of it, if it is finished: its held-out loss and how long it took.
        error: Why it failed, in one line.
    """

    run: PlannedRun
    state: State
    step: int
    result: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def nats_per_byte(self) -> float | None:
        """On the held-out documents; None if it is not finished, or none are held out."""
        return ((self.result or {}).get("held_out") or {}).get("nats_per_byte")

    def row(self) -> dict[str, Any]:
        """Plain values, for a table."""
        return {
            "run": self.run.id,
            **self.run.chosen,
            "data_order": self.run.data_order,
            "state": self.state,
            "step": self.step,
            "nats_per_byte": self.nats_per_byte,
            "seconds": (self.result or {}).get("seconds"),
            "error": self.error,
        }


def check_versions(begun: Mapping[str, str], found: Mapping[str, str], whose: str) -> None:
    """Refuse to mix runs of different packages in one study.

    Raises:
        StudyError: A version differs.
    """
    for package in sorted(begun.keys() | found.keys()):
        if begun.get(package) != found.get(package):
            raise StudyError(
                f"the study was begun with {package} {begun.get(package, 'missing')}, {whose} has "
                f"{found.get(package, 'none')}; install what it was begun with, or give another folder"
            )

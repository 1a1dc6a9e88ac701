"""The runs of a study: what is planned, and the progress of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from howfar.corpus.corpus import Corpus
from howfar.errors import CorpusError, StudyError

RESULT = "result.json"
"""Written last into the folder of a run: the run is finished."""

State = Literal["waiting", "begun", "failed", "finished"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        id: Its address: a hash of its recipe (the name left out), its corpus's content, and the versions.
        chosen: What distinguishes it from the other runs, by key.
        recipe: The values of its recipe.
        corpus_hash: Hash of the corpus's content.
        data_order: Equal for runs that read the same windows in the same order: those with equal seed, corpus, window
            length, windows per step, number of steps. These are pairs, to be compared window by window.
    """

    id: str
    chosen: dict[str, Any]
    recipe: dict[str, Any]
    corpus_hash: str
    data_order: str

    @property
    def label(self) -> str:
        """What distinguishes it from the others, in words."""
        return ", ".join(f"{key} {value}" for key, value in self.chosen.items()) or str(self.recipe["name"])

    def corpus(self) -> Corpus:
        """Open its corpus.

        Raises:
            CorpusError: The corpus is missing or damaged, or another one is in its place.
        """
        corpus = Corpus.open(self.recipe["corpus"])
        if corpus.hash != self.corpus_hash:
            raise CorpusError(
                f"the corpus in {corpus.folder} is not the one that the study was planned with; put that one back, or "
                "start another study"
            )
        return corpus


@dataclass(frozen=True)
class RunState:
    """The progress of a run.

    Attributes:
        run: The run.
        state: `waiting`, `begun` (it has a complete checkpoint), `failed` or `finished`.
        step: The step of its last complete checkpoint, or of its end.
        result: Its result, if it is finished: its held-out loss and duration.
        error: Why it failed, in one line.
    """

    run: PlannedRun
    state: State
    step: int
    result: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def nats_per_byte(self) -> float | None:
        """The loss on held-out documents; None if it is not finished, or nothing is held out."""
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
                f"the study was started with {package} {begun.get(package, 'missing')}, but {whose} has "
                f"{found.get(package, 'none')}; install that version, or give another folder"
            )

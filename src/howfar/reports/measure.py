"""What a measure is to the command line and to reports: what it asks, what it is given, how it is run and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from howfar.charts.picture import Picture
from howfar.charts.theme import Theme
from howfar.errors import ConfigError
from howfar.progress import Progress
from howfar.reports.inputs import Inputs

if TYPE_CHECKING:
    import polars as pl

Run = Callable[[Any, Inputs, Progress | None], "pl.DataFrame"]
"""Of a model (None where the measure is of none), the inputs, and what to tell of progress."""


class Draw(Protocol):
    """Draws a measure's table."""

    def __call__(self, table: pl.DataFrame, *, theme: Theme = "light") -> Picture: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure as the command line and reports know it.

    Attributes:
        name: Its name.
        question: What it asks.
        run: Gives its table.
        draw: Draws the table.
        needs: Names of `Inputs` that it must be given; alternatives are parted by `|`. A corpus is texts as well;
            `corpus` is for what makes no use of texts that are none.
        takes: Names of further ones that it may be given.
        sample: What the size of its sample counts; empty if there is no size to choose.
        columns: What to show where there is little room: columns, or `"value [low, high]"` for three in one, or
            `"text:-20"` for a text's last twenty characters.
        of_model: Whether it is of a model; False where it makes its own.
        of_increments: Whether a model must have increments.
        partitions: Columns by which its table may be written as a folder of files; none where that is of no use.
    """

    name: str
    question: str
    run: Run
    draw: Draw
    needs: tuple[str, ...] = ("texts",)
    takes: tuple[str, ...] = ()
    sample: str = ""
    columns: tuple[str, ...]
    of_model: bool = True
    of_increments: bool = True
    partitions: tuple[str, ...] = ()

    @property
    def uses(self) -> set[str]:
        """Names of all `Inputs` that it can use."""
        used = {name for need in self.needs for name in _alternatives(need)}
        used |= {name for taken in self.takes for name in _alternatives(taken)}
        return used | ({"sample"} if self.sample else set())

    def check(self, inputs: Inputs) -> None:
        """Find what is missing or of no use, before any work.

        Raises:
            ConfigError: Something is.
        """
        for need in self.needs:
            if not inputs.given & _alternatives(need):
                raise ConfigError(f"{self.name} needs {_listed(need, 0)}; give {_listed(need, 1)}")
        for name in sorted(inputs.given - self.uses):
            option = "--text FILE" if name == "texts" else _listed(name, 1)
            raise ConfigError(f"{self.name} makes no use of {_listed(name, 0)}; leave out {option}")
        if inputs.sample is not None and inputs.sample < 1:
            raise ConfigError(f"a sample of {inputs.sample} {self.sample} is none; give 1 or more")


def _alternatives(need: str) -> set[str]:
    """Names of what fills a need."""
    names = set(need.split("|"))
    return names | {"corpus"} if "texts" in names else names


_INPUTS = {
    "corpus": ("a corpus", "--corpus FOLDER"),
    "texts": ("text", "--corpus FOLDER or --text FILE"),
    "gold": ("a gold segmentation", "--gold FILE"),
    "target": ("a target", "--target NAME"),
    "pairs": ("a list of pairs", "--pairs FILE"),
    "language": ("a language", "--language CODE"),
    "classes": ("classes of tokens", "--classes NAME"),
    "against": ("models to compare with", "--against MODEL"),
    "sample": ("a sample size", "--sample NUMBER"),
}
"""What they are called, and how they are given."""


def _listed(need: str, which: int) -> str:
    return " or ".join(_INPUTS[name][which] for name in need.split("|"))

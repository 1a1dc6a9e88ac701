"""What a measure declares beside its function: its question, what it needs, and what its table holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from howfar.errors import ConfigError
from howfar.measures.inputs import Inputs

if TYPE_CHECKING:
    import polars as pl

    from howfar.progress import Progress

ESTIMATE = ("value", "low", "high", "n", "note")
"""Columns of every table of estimates: the value, its 95% interval, how many cases it rests on, and why it is missing.

Where the value is exact, `low` and `high` are null; where there is no value, `note` says why. Further columns name what
the row is about, or add to it.
"""

Run = Callable[[Any, Inputs, "Progress | None"], "pl.DataFrame"]
"""Of a model (None where the measure trains its own), the inputs, and what to tell of progress."""

Variants = Callable[[Inputs], Iterable[tuple[str, Inputs]]]
"""From what a report was given to what the measure is taken of, by name, and the inputs for each."""


def of_texts(measure: Callable[..., pl.DataFrame], sample: str, **options: Any) -> Run:
    """Make the `run` of a measure that takes a model and texts.

    Args:
        measure: The function.
        sample: Its argument for the size of the sample.
        **options: Further arguments of it.
    """

    def run(model: Any, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
        sized = inputs.sized(sample)
        return measure(model, inputs.some_texts, seed=inputs.seed, progress=progress, **sized, **options)

    return run


def _one(inputs: Inputs) -> Iterable[tuple[str, Inputs]]:
    yield "", inputs


@dataclass(frozen=True)
class Matrix:
    """Values for readers: one cell for each pair of a row and a column.

    Attributes:
        rows: Columns of the table that name a row; those that are the same everywhere are left out.
        columns: Columns of the table that name a column.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...] = ("layer", "head")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure as the command line and reports know it. Its chart is the module of the same name in `charts.measures`.

    Attributes:
        name: Its name, and that of its module.
        question: What it asks.
        run: Gives its table.
        value: What `value` is, with its unit. Empty where the rows are no estimates.
        counts: What `n` counts. Empty where the rows are no estimates.
        rows: What the rows are where they are no estimates, so that the columns `ESTIMATE` are not there.
        columns: What a reader is shown: columns, `"value [low, high]"` for three in one, `"text:-20"` for a text's last
            twenty characters.
        matrix: How the values are shown in a terminal, where a list of rows would be long.
        needs: Names of `Inputs` that it must be given; alternatives are separated by `|`. A corpus is texts as well;
            `corpus` is for what makes no use of other texts.
        takes: Names of further inputs that it may be given.
        variants: What a report takes it of.
        sample: What the size of its sample counts; empty if there is no size to choose.
        of_model: Whether it is of a model; False where it trains its own.
        of_plain: Whether it also means something for a model with plain positions.
        partitions: Columns by which its table may be written as a folder of files; none where that is of no use.
    """

    name: str
    question: str
    run: Run
    value: str = ""
    counts: str = ""
    rows: str = ""
    columns: tuple[str, ...]
    matrix: Matrix | None = None
    needs: tuple[str, ...] = ("texts",)
    takes: tuple[str, ...] = ()
    variants: Variants = _one
    sample: str = ""
    of_model: bool = True
    of_plain: bool = False
    partitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.rows) == bool(self.value and self.counts):
            raise TypeError(f"measure {self.name!r} says neither or both of: `value` and `counts`; `rows`. Give one")

    @property
    def uses(self) -> set[str]:
        """Names of all `Inputs` that it can use."""
        used = {name for need in (*self.needs, *self.takes) for name in _alternatives(need)}
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
            raise ConfigError(f"{self.name} cannot sample {inputs.sample} {self.sample}; give 1 or more")

    def take(self, model: Any, inputs: Inputs, progress: Progress | None = None) -> pl.DataFrame:
        """Take the measure of a model, on what was given, and see that the table is what was declared.

        Raises:
            ConfigError: Something is missing or of no use, or the table is not what was declared.
            HowFarError: Whatever the measure raises.
        """
        self.check(inputs)
        table = self.run(model, inputs, progress)
        if missing := [name for name in ESTIMATE if name not in table.columns and not self.rows]:
            raise ConfigError(
                f"the table of {self.name} has no {' and no '.join(missing)}; "
                "return these columns, or declare as `rows` what its rows are instead of estimates"
            )
        return table

    def source(self, table: pl.DataFrame, model: str, inputs: Inputs) -> str:
        """What a table is of, in one line to stand below it: model, texts, number of cases, seed and version."""
        counted = [] if self.rows else table["n"].drop_nulls().to_list()
        number = f"n = {max(counted):,} {self.counts}" if counted else f"{len(table):,} rows"
        texts = inputs.origin if self.uses & {"texts", "gold"} else ""
        parts = (model, texts, number, f"seed {inputs.seed}", f"howfar {version('howfar')}")
        return " · ".join(part for part in parts if part)


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
    "probes": ("probes", "--probe NAME"),
    "against": ("models to compare with", "--against MODEL"),
    "sample": ("a sample size", "--sample NUMBER"),
}
"""What the inputs are called, and how they are given."""


def _listed(need: str, which: int) -> str:
    return " or ".join(_INPUTS[name][which] for name in need.split("|"))

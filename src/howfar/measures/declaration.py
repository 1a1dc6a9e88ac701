"""A measure's declaration beside its function: its question, its inputs, and the contents of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from howfar.errors import ConfigError
from howfar.measures.inputs import Inputs

if TYPE_CHECKING:
    import polars as pl

    from howfar.progress import Progress

ESTIMATE = ("value", "low", "high", "n", "note")
"""Columns of every table of estimates: the value, its 95% interval, its number of cases, and why it is missing.

If the value is exact, `low`, `high` and `n` are null; if there is no value, `note` says why. Further columns identify
the row or add to it.
"""

Run = Callable[[Any, Inputs, "Progress | None"], "pl.DataFrame"]
"""From a model (None if the measure trains its own), the inputs, and a progress callback to a table."""

Variants = Callable[[Inputs], Iterable[tuple[str, Inputs]]]
"""From a report's inputs to the measure's variants: by name, the inputs of each."""


def of_texts(measure: Callable[..., pl.DataFrame], sample: str) -> Run:
    """Make the `run` of a function of a model, texts, and what else the measure takes by its own name.

    Args:
        measure: The function.
        sample: Its argument for the sample size.
    """

    def run(model: Any, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
        options = inputs.options("classes", "layers", "training_length", sample=sample)
        return measure(model, inputs.some_texts, progress=progress, **options)

    return run


def _one(inputs: Inputs) -> Iterable[tuple[str, Inputs]]:
    yield "", inputs


@dataclass(frozen=True)
class Matrix:
    """A matrix of values for readers: one cell per pair of row and column."""

    rows: tuple[str, ...]  # columns of the table that name a matrix row; constant ones are left out
    columns: tuple[str, ...] = ("layer", "head")  # columns of the table that name a matrix column


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure as the command line and reports know it; its chart is the module of its name in `charts.measures`."""

    name: str  # its name, and that of its module
    question: str  # the question that it answers
    run: Run  # makes its table
    value: str = ""  # meaning and unit of `value`; empty if the rows are not estimates
    counts: str = ""  # what `n` counts; empty if the rows are not estimates
    rows: str = ""  # what the rows are, if they are not estimates and so lack the columns `ESTIMATE`
    columns: tuple[str, ...]
    """What readers see: columns, `"value [low, high]"` for three in one, `"text:-20"` for a text's last twenty
    characters."""
    matrix: Matrix | None = None  # how to show the values in a terminal if a list of rows would be long
    identity: tuple[str, ...] = ()
    """Columns that identify a row, so that the same row of other models can be found; if empty, those of `matrix`."""
    not_over_cases: tuple[str, ...] = ()
    """Values of the column `quantity` in whose rows the interval is not over the cases that `n` counts, so that it says
    nothing about other documents."""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By value of the column `quantity` (`""` if there is none), the smallest and the largest possible value of bounded
    ones, at which an interval over several models ends."""
    needs: tuple[str, ...] = ("texts",)
    """Names of `Inputs` that it requires; alternatives are separated by `|`. `texts` includes a corpus; `corpus` means
    that other texts do not help."""
    takes: tuple[str, ...] = ()  # names of `Inputs` that it accepts besides
    variants: Variants = _one  # what a report takes it of
    sample: str = ""  # what the sample size counts; empty if there is none to choose
    of_model: bool = True  # whether it measures a model; False if it trains its own
    of_plain: bool = False  # whether it is also meaningful for a model with plain positions
    partitions: tuple[str, ...] = ()  # columns by which its table may be split into a folder of files

    def __post_init__(self) -> None:
        if bool(self.rows) == bool(self.value and self.counts):
            raise TypeError(f"measure {self.name!r} says neither or both of: `value` and `counts`; `rows`. Give one")

    @property
    def identifies(self) -> tuple[str, ...]:
        """Columns that identify a row; empty if that is not declared."""
        return self.identity or (() if self.matrix is None else (*self.matrix.rows, *self.matrix.columns))

    @property
    def uses(self) -> set[str]:
        """Names of all `Inputs` that it can use."""
        used = {name for need in (*self.needs, *self.takes) for name in _alternatives(need)}
        return used | ({"sample"} if self.sample else set())

    @property
    def reads(self) -> bool:
        """Whether the model reads documents, each after a document mark."""
        return bool(self.uses & {"texts", "gold", "pairs"})

    def check(self, inputs: Inputs) -> None:
        """Before any work, find inputs that are missing or unused.

        Raises:
            ConfigError: An input is missing or unused.
        """
        for need in self.needs:
            if not inputs.given & _alternatives(need):
                raise ConfigError(f"{self.name} needs {_listed(need, 0)}; give {_listed(need, 1)}")
        for name in sorted(inputs.given - self.uses):
            option = "--text FILE" if name == "texts" else _listed(name, 1)
            raise ConfigError(f"{self.name} does not use {_listed(name, 0)}; leave out {option}")
        if inputs.sample is not None and inputs.sample < 1:
            raise ConfigError(f"{self.name} cannot sample {inputs.sample} {self.sample}; give 1 or more")

    def take(self, model: Any, inputs: Inputs, progress: Progress | None = None) -> pl.DataFrame:
        """Run the measure on a model and inputs, and check its table against the declaration.

        Raises:
            ConfigError: An input is missing or unused, or the table does not match the declaration.
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
        """One line to put below a table: model, texts, number of cases, seed and version."""
        counted = [] if self.rows else table["n"].drop_nulls().to_list()
        number = f"n = {max(counted):,} {self.counts}" if counted else f"{len(table):,} rows"
        parts = (model, self._origin(inputs), number, f"seed {inputs.seed}", f"howfar {version('howfar')}")
        return " · ".join(part for part in parts if part)

    def _origin(self, inputs: Inputs) -> str:
        """Where the text that was read comes from: a gold segmentation, if the measure takes one; else texts."""
        if inputs.gold is not None and "gold" in self.uses:
            return inputs.gold_origin + (f", counts of {inputs.origin}" if inputs.corpus is not None else "")
        return inputs.origin if "texts" in self.uses else ""


def _alternatives(need: str) -> set[str]:
    """Alternative names that satisfy a need."""
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
    "layers": ("layers", "--layer NUMBER"),
    "training_length": ("a training length", "--training-length TOKENS"),
    "against": ("models to compare with", "--against MODEL (a report: one more model, with plain positions)"),
    "sample": ("a sample size", "--sample NUMBER"),
}
"""Names of the inputs, and the options that give them."""


def _listed(need: str, which: int) -> str:
    return " or ".join(_INPUTS[name][which] for name in need.split("|"))

"""The measures by name: what each asks, what it is given, how it is run and drawn.

A measure is a function of `howfar.measures` and its chart one of `howfar.charts`; here they are only brought under one
signature, for the command line and for reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from howfar.charts.attention_distances import draw_attention
from howfar.charts.extrapolation import draw_extrapolation
from howfar.charts.interventions import draw_interventions
from howfar.charts.neutrality import draw_neutrality
from howfar.charts.pairs import draw_pairs
from howfar.charts.picture import Picture
from howfar.charts.theme import Theme
from howfar.errors import ConfigError
from howfar.reports import runners
from howfar.reports.inputs import Inputs
from howfar.tracing.run import Progress

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

Run = Callable[["PreTrainedModel", Inputs, Progress | None], "pl.DataFrame"]


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
        needs: Names of `Inputs` that it must be given; alternatives are parted by `|`.
        takes: Names of further ones that it may be given.
        sample: What the size of its sample counts; empty if there is no size to choose.
        columns: What to show where there is little room: columns, or `"value [low, high]"` for three in one.
        of_increments: Whether a model must have increments.
    """

    name: str
    question: str
    run: Run
    draw: Draw
    needs: tuple[str, ...] = ("texts",)
    takes: tuple[str, ...] = ()
    sample: str = ""
    columns: tuple[str, ...]
    of_increments: bool = True

    @property
    def uses(self) -> set[str]:
        """Names of all `Inputs` that it can use."""
        needed = {name for need in self.needs for name in need.split("|")}
        return needed | set(self.takes) | ({"sample"} if self.sample else set())

    def check(self, inputs: Inputs) -> None:
        """Find what is missing or of no use, before any work.

        Raises:
            ConfigError: Something is.
        """
        for need in self.needs:
            if not inputs.given.intersection(need.split("|")):
                raise ConfigError(f"{self.name} needs {_listed(need, 0)}; give {_listed(need, 1)}")
        for name in sorted(inputs.given - self.uses):
            raise ConfigError(f"{self.name} makes no use of {_listed(name, 0)}; leave out {_listed(name, 1)}")
        if inputs.sample is not None and inputs.sample < 1:
            raise ConfigError(f"a sample of {inputs.sample} {self.sample} is none; give 1 or more")


def measure_named(name: str) -> Measure:
    """Find a measure.

    Raises:
        ConfigError: There is none of the name.
    """
    if name not in MEASURES:
        raise ConfigError(f"there is no measure {name!r}; choose from {', '.join(MEASURES)}")
    return MEASURES[name]


_INPUTS = {
    "texts": ("text", "--corpus FOLDER or --text FILE"),
    "gold": ("a gold segmentation", "--gold FILE"),
    "target": ("a target", "--target NAME"),
    "pairs": ("a list of pairs", "--pairs FILE"),
    "language": ("a language", "--language CODE"),
    "against": ("models to compare with", "--against MODEL"),
    "sample": ("a sample size", "--sample NUMBER"),
}
"""What they are called, and how they are given."""


def _listed(need: str, which: int) -> str:
    return " or ".join(_INPUTS[name][which] for name in need.split("|"))


MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            name="boundaries",
            question="Do increments tell where words begin, and more than entropy and surprisal do?",
            run=runners.run_boundaries,
            draw=draw_pairs,  # TODO
            needs=("gold|texts",),
            takes=("target",),
            sample="gaps",
            columns=("quantity", "score", "scored_at", "layer", "head", "value [low, high]", "num_gaps"),
        ),
        Measure(
            name="pairs",
            question="Are the parts of a name closer together than other words as likely to follow each other?",
            run=runners.run_pairs,
            draw=draw_pairs,
            needs=(),
            takes=("texts", "pairs", "language"),
            columns=(
                "control",
                "site",
                "type",
                "layer",
                "head",
                "difference [difference_low, difference_high]",
                "effect_size",
                "p_holm",
                "num_pairs",
            ),
        ),
        Measure(
            name="attention",
            question="How far do heads look, and does that go with the increments?",
            run=runners.run_attention,
            draw=draw_attention,
            sample="documents",
            columns=("quantity", "unit", "layer", "head", "value [low, high]", "num_documents"),
        ),
        Measure(
            name="interventions",
            question="What does the loss do when increments are replaced, beyond a random change of equal size?",
            run=runners.run_interventions,
            draw=draw_interventions,
            sample="documents",
            columns=(
                "kind",
                "layer",
                "change [change_low, change_high]",
                "beyond_control [beyond_control_low, beyond_control_high]",
                "num_documents",
            ),
        ),
        Measure(
            name="extrapolation",
            question="What is the loss in contexts longer than those of training?",
            run=runners.run_extrapolation,
            draw=draw_extrapolation,
            sample="windows",
            columns=(
                "source",
                "times",
                "start",
                "stop",
                "nats_per_byte [low, high]",
                "change [change_low, change_high]",
                "num_windows",
            ),
            of_increments=False,
        ),
        Measure(
            name="neutrality",
            question="Is the loss the same as with plain positions?",
            run=runners.run_neutrality,
            draw=draw_neutrality,
            needs=("texts", "against"),
            columns=(
                "against",
                "source",
                "difference [low, high]",
                "equivalent",
                "num_units",
                "unit",
                "statement",
            ),
            of_increments=False,
        ),
    )
}

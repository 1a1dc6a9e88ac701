"""`howfar study`: many models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from howfar.commands.options import with_address
from howfar.commands.output import console, say

if TYPE_CHECKING:
    from howfar.studies.study import Study

RUN = "run"
WIDE = 1000  # columns of what no person sees: nothing is cut off


class StudyGroup(TyperGroup):
    """A group whose first command need not be named: `howfar study STUDY.toml` is `howfar study run STUDY.toml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command, and take `--ray` without an address too."""
        if args and args[0] not in (*self.commands, "--help"):
            args = [RUN, *args]
        return super().parse_args(ctx, with_address(args))


app = typer.Typer(cls=StudyGroup, no_args_is_help=True)


@app.callback()
def study() -> None:
    """Train many models that differ along axes, and go on with those that are missing.

    Example: howfar study STUDY.toml -o studies/rates --at-once 2
    """


@app.command(RUN)
def run(
    specification: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="What to train: a base recipe and axes.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the study, or an address such as s3://bucket/study.")
    ],
    at_once: Annotated[int, typer.Option(min=1, help="Runs at a time; they divide the machine's threads.")] = 1,
    retries: Annotated[int, typer.Option(min=0, help="How often a run that fails is tried again.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[<address>]", help="Train on a Ray cluster: HOST:PORT or ray://HOST:PORT, else the one at hand."
        ),
    ] = None,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs of a run on Ray.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of a run on Ray, or a fraction of one.")] = 0,
) -> None:
    """Train the models of a study that are not there yet (`run` may be left out).

    A study that was stopped, killed or extended goes on when the same command is given again.
    """
    import howfar

    trained = howfar.study(specification, output, at_once=at_once, retries=retries, ray=ray, cpus=cpus, gpus=gpus)
    _print(trained)
    trained.check_finished()


@app.command()
def status(
    folder: Annotated[str, typer.Argument(help="Folder or address of a study.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole table as JSON, a list of rows.")] = False,
) -> None:
    """Say how far the runs of a study are."""
    import json

    from howfar.studies.study import Study

    found = Study.open(folder)
    if as_json:
        typer.echo(json.dumps(found.rows(), ensure_ascii=False))
    else:
        _print(found)


def _print(study: Study) -> None:
    """All runs in a table, and how many are in which state."""
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    rows = study.rows()
    table = Table(box=None, padding=(0, 2, 0, 0))
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if any(row.get(name) for row in rows)]
    for name in names:
        table.add_column(name.replace("_", " "), no_wrap=name != "error")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    screen = console()
    if not screen.is_terminal:
        screen.width = WIDE
    screen.print(table)
    counts = Counter(row["state"] for row in rows)
    say(f"{study.name}: {len(rows):,} runs, " + ", ".join(f"{count:,} {state}" for state, count in counts.items()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)

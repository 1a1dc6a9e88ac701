"""`howfar study`: train many models that differ along axes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from howfar.commands.groups import Group
from howfar.commands.output import console, printing, say, say_json
from howfar.foreign import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RUN = "run"
WIDE = 1000  # columns of output that is not a terminal: nothing is cut off


class StudyGroup(Group):
    """A group whose first command may be omitted: `howfar study STUDY.toml` is `howfar study run STUDY.toml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Add the command's name."""
        if args and args[0] not in (*self.commands, "--help"):
            args = [RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=StudyGroup, no_args_is_help=True)


@app.callback()
def study() -> None:
    """Train many models that differ along axes; repeat the command to train the missing ones.

    Example: howfar study STUDY.toml -o studies/rates --at-once 2
    """


@app.command(RUN)
def run(
    specification: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="What to train: a base recipe and axes.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the study, or an address, for example s3://bucket/study.")
    ],
    at_once: Annotated[int, typer.Option(min=1, help="Parallel runs; they share the machine's threads.")] = 1,
    retries: Annotated[int, typer.Option(min=0, help="How often a failed run is retried.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[<address>]", help="Train on a Ray cluster: HOST:PORT or ray://HOST:PORT; default: a running one."
        ),
    ] = None,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs per run on Ray.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs per run on Ray; may be a fraction.")] = 0,
) -> None:
    """Train the missing models of a study (the word `run` is optional).

    If a study was stopped or killed, or its file was extended, repeat the command to continue.
    """
    import howfar

    trained = howfar.study(specification, output, at_once=at_once, retries=retries, ray=ray, cpus=cpus, gpus=gpus)
    rows = trained.rows()
    with printing() as check_printed:
        _print(trained.name, rows)
    trained.check_finished()  # if printing fails, failed runs are still told
    check_printed()


@app.command()
def status(
    folder: Annotated[str, typer.Argument(help="Folder or address of a study.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole table as JSON, a list of rows.")] = False,
) -> None:
    """Show the progress of a study's runs."""
    from howfar.studies.study import Study

    found = Study.open(folder)
    rows = found.rows()
    with printing() as check_printed:
        if as_json:
            say_json(rows)
        else:
            _print(found.name, rows)
    check_printed()


def _print(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of all runs, and the number of runs in each state."""
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if any(row.get(key) for row in rows)]
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=column != "error")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    screen = console()
    if not screen.is_terminal:
        screen.width = WIDE
    screen.print(table)
    counts = Counter(row["state"] for row in rows)
    say(f"{name}: {len(rows):,} runs, " + ", ".join(f"{count:,} {state}" for state, count in counts.items()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else harmless(str(value))

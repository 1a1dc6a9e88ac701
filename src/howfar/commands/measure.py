"""`howfar measure`: what a model's increments mean, one question at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from howfar.commands.options import Corpus, Gold, Mark, Seed, Texts, check_given, choose_mark
from howfar.commands.output import console, printing, say
from howfar.measures.choices import Classes, Language, Target

if TYPE_CHECKING:
    import polars as pl

    from howfar.measures.declaration import Measure
    from howfar.measures.inputs import Inputs

MOST_ROWS = 20  # in the terminal
LONG_CELL = 24  # characters from which on a cell may be broken over lines
SAMPLES = (
    "documents; gaps in boundaries, gaps in segmentation, windows in extrapolation, tokens in gap_effects, "
    "tokens in information, seeds in calibration"
)
"""What the size of a sample counts."""


def measure(
    name: Annotated[str | None, typer.Argument(help="What to measure; leave it out for a list.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A bundled model, a folder or a Hub id. [default: the first of `howfar models`]"
        ),
    ] = None,
    corpus: Corpus = None,
    text: Texts = None,
    gold: Gold = None,
    target: Annotated[Target | None, typer.Option(help="Which boundaries. [default: chinese-words]")] = None,
    pairs: Annotated[Path | None, typer.Option(help="CSV of entities, in place of the list in the package.")] = None,
    language: Annotated[Language | None, typer.Option(help="Of the list in the package. [default: en]")] = None,
    classes: Annotated[Classes | None, typer.Option(help="Classes of tokens. [default: text]")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="<model>", help="Model with plain positions to compare with. May be repeated."),
    ] = None,
    sample: Annotated[int | None, typer.Option(help=f"Sample size: {SAMPLES}.")] = None,
    seed: Seed = 0,
    mark: Mark = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table (.csv, .parquet, .json) or picture (.html, .svg, .png, .pdf)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole table as JSON, a list of rows.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the whole table as CSV.")] = False,
) -> None:
    """Measure what a model's increments mean.

    Example: howfar measure boundaries --corpus corpora/bilingual --gold gold.txt -o boundaries.html

    Prints a table with 95% intervals as ±. Notes below it say why a number is missing.
    """
    if name is None:
        _list()
        return
    check_given(
        model, corpus=None if text else corpus, files=[*(text or ()), *(gold or ()), *([pairs] if pairs else ())]
    )
    from howfar.charts.outputs import check_output
    from howfar.errors import ConfigError
    from howfar.measures.files import read_inputs
    from howfar.measures.registry import measure_named

    if as_json and as_csv:
        raise ConfigError("--json and --csv are both given; give one of them")
    chosen = measure_named(name)
    if output is not None:
        check_output(output, chosen.partitions)
    options = {"target": target, "language": language, "classes": classes, "against": against, "sample": sample}
    inputs = read_inputs(corpus=corpus, texts=text, gold=gold, pairs=pairs, seed=seed, **options)
    chosen.check(inputs)
    if not chosen.of_model and (model is not None or mark is not None):
        raise ConfigError(f"{chosen.name} trains models of its own; leave out {'--model' if model else '--mark'}")
    table, source = _take(chosen, model, inputs, mark)
    with printing() as check_printed:  # whatever becomes of that, the table is written
        if as_json or as_csv:
            typer.echo(table.write_json() if as_json else table.write_csv().rstrip("\n"))
        else:
            _print(table, chosen, source)
    if output is not None:
        _write(table, chosen, output, source, to_stderr=as_json or as_csv)
    check_printed()


def _list() -> None:
    from rich.table import Table

    from howfar.measures.registry import MEASURES

    listed = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for measure in MEASURES.values():
        listed.add_row(measure.name, measure.question)
    console().print(listed)
    typer.echo("\nFor example: howfar measure pairs --language en")


def _take(chosen: Measure, model: str | None, inputs: Inputs, mark: str | None) -> tuple[pl.DataFrame, str]:
    """The table, and a line that says what it is of."""
    import howfar
    from howfar.progress import progress_bars

    loaded = howfar.load(model) if chosen.of_model else None
    found = choose_mark(loaded, mark) if loaded is not None and chosen.uses & {"texts", "gold"} else None
    with progress_bars() as watch:
        table = chosen.take(loaded, inputs, watch(chosen.name))
    named = model or (Path(loaded.name_or_path).name if loaded is not None else "models trained for this")
    return table, chosen.source(table, f"{named} behind the mark {found}" if found else named, inputs)


def _print(table: pl.DataFrame, chosen: Measure, source: str) -> None:

    from howfar.charts.matrices import grid
    from howfar.charts.text_tables import notes, readable

    if chosen.value:
        typer.echo(f"{chosen.value[0].upper()}{chosen.value[1:]}; ±: 95% interval")
    if chosen.matrix is not None:
        laid_out = grid(table, chosen.matrix, most_rows=MOST_ROWS, width=console().width)
        for headings, rows in laid_out.blocks:
            _print_rows(headings, rows, matrix=True)
        remarks = laid_out.remarks
    else:
        _print_rows(*readable(table, chosen.columns, MOST_ROWS))
        more = f"These are {MOST_ROWS} of {len(table):,} rows; --csv prints all of them."
        remarks = [more] if len(table) > MOST_ROWS else []
    for line in (*remarks, *notes(table), source):
        say(line)


def _print_rows(headings: list[str], rows: list[list[str]], *, matrix: bool = False) -> None:
    """In a list of rows, what is the same in all of them is said once, above them, which leaves room for the rest."""
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    columns = list(zip(headings, zip(*rows, strict=True), strict=True)) if rows else []
    same = [(heading, cells[0]) for heading, cells in columns if len(rows) > 1 and len(set(cells)) == 1 and not matrix]
    varying = [(heading, cells) for heading, cells in columns if (heading, cells[0]) not in same]
    if same:
        typer.echo(", ".join(f"{heading} {cell}".strip() for heading, cell in same))
    drawn = Table(box=None, padding=(0, 2, 0, 0))
    for heading, cells in varying:
        # In a narrow terminal sentences and long names are broken over lines, and nothing else is.
        drawn.add_column(heading, no_wrap=not any(len(cell) > LONG_CELL for cell in cells))
    for row in zip(*(cells for _, cells in varying), strict=True):
        drawn.add_row(*map(Text, row))  # whose brackets are no markup
    screen = console()
    if not screen.is_terminal and not matrix:
        natural = Measurement.get(screen, screen.options.update(width=10_000), drawn).maximum
        screen.width = max(screen.width, natural)
    screen.print(drawn)


def _write(table: pl.DataFrame, chosen: Measure, output: Path, source: str, *, to_stderr: bool) -> None:
    from howfar.charts.measured import draw
    from howfar.charts.outputs import is_table, write_dataset, write_table

    if not output.suffix:
        write_dataset(table, output, chosen.partitions)
        written = f"The table is in the files of {output}"
    elif is_table(output):
        write_table(table, output)
        written = f"The table is in {output}"
    else:
        draw(chosen, table, source=source).save(output)
        written = f"The picture is in {output}"
    say(written, err=to_stderr)

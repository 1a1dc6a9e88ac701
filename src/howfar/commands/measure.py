"""`howfar measure`: what a model's increments mean, one question at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from howfar.commands.options import Corpus, Seed, Texts, check_given
from howfar.commands.output import console, printing, say

if TYPE_CHECKING:
    import polars as pl

    from howfar.reports.inputs import Inputs
    from howfar.reports.measure import Measure

MOST_ROWS = 40  # in the terminal


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
    gold: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="Known boundaries: CoNLL-U, or a sentence a line with words parted by spaces. May be repeated.",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Which boundaries: chinese-words, words, sentences …")] = None,
    pairs: Annotated[Path | None, typer.Option(help="CSV of entities, in place of the list in the package.")] = None,
    language: Annotated[str | None, typer.Option(help="Of the list in the package: en or zh.")] = None,
    classes: Annotated[str | None, typer.Option(help="Classes of tokens: text or code.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="<model>", help="Model with plain positions to compare with. May be repeated."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="How much to measure on: documents, gaps or windows, as the measure has it.")
    ] = None,
    seed: Seed = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Table (.csv, .parquet, .json) or picture (.html, .svg, .png, .pdf)."),
    ] = None,
) -> None:
    """Measure what a model's increments mean.

    Example: howfar measure boundaries --corpus corpora/bilingual --gold gold.txt -o boundaries.html

    Prints a table; numbers have 95% intervals, and a note says why where there is no number.
    """
    if name is None:
        _list()
        return
    check_given(
        model, corpus=None if text else corpus, files=[*(text or ()), *(gold or ()), *([pairs] if pairs else ())]
    )
    from howfar.errors import ConfigError
    from howfar.reports.inputs import read_inputs
    from howfar.reports.registry import measure_named
    from howfar.reports.tables import check_output

    chosen = measure_named(name)
    if output is not None:
        check_output(output, chosen.partitions)
    options: dict[str, Any] = {
        "target": target,
        "language": language,
        "classes": classes,
        "against": against,
        "sample": sample,
        "seed": seed,
    }
    inputs = read_inputs(corpus=corpus, texts=text, gold=gold, pairs=pairs, **options)
    chosen.check(inputs)
    if model is not None and not chosen.of_model:
        raise ConfigError(f"{chosen.name} trains models of its own; leave out --model")
    table = _run(chosen, model, inputs)
    with printing() as check_printed:  # whatever becomes of that, the table is written
        _print(table, chosen)
    if output is not None:
        _write(table, chosen, output)
    check_printed()


def _list() -> None:
    from rich.table import Table

    from howfar.reports.registry import MEASURES

    listed = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for measure in MEASURES.values():
        listed.add_row(measure.name, measure.question)
    console().print(listed)
    typer.echo("\nFor example: howfar measure pairs --language en")


def _run(chosen: Measure, model: str | None, inputs: Inputs) -> pl.DataFrame:
    import howfar
    from howfar.progress import progress_bars

    loaded = howfar.load(model) if chosen.of_model else None
    with progress_bars() as watch:
        return chosen.run(loaded, inputs, watch(chosen.name))


def _print(table: pl.DataFrame, chosen: Measure) -> None:
    from howfar.reports.tables import notes, readable

    headings, rows = readable(table, chosen.columns, MOST_ROWS)
    _print_rows(headings, rows)
    for note in notes(table):
        say(note)
    if len(table) > MOST_ROWS:
        typer.echo(f"These are {MOST_ROWS} of {len(table):,} rows; -o {chosen.name}.csv writes all of them.")


def _print_rows(headings: list[str], rows: list[list[str]]) -> None:
    """What is the same in all rows is said once, above them, which leaves room for the rest."""
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    columns = list(zip(headings, zip(*rows, strict=True), strict=True)) if rows else []
    same = [(heading, cells[0]) for heading, cells in columns if len(rows) > 1 and len(set(cells)) == 1]
    varying = [(heading, cells) for heading, cells in columns if (heading, cells[0]) not in same]
    if same:
        typer.echo(", ".join(f"{heading} {cell}".strip() for heading, cell in same))
    drawn = Table(box=None, padding=(0, 2, 0, 0))
    for heading, cells in varying:
        # In a narrow terminal intervals are broken over lines, and nothing else is.
        drawn.add_column(heading, no_wrap=not any(" [" in cell for cell in cells))
    for row in zip(*(cells for _, cells in varying), strict=True):
        drawn.add_row(*map(Text, row))  # whose brackets are no markup
    screen = console()
    if not screen.is_terminal:
        natural = Measurement.get(screen, screen.options.update(width=10_000), drawn).maximum
        screen.width = max(screen.width, natural)
    screen.print(drawn)


def _write(table: pl.DataFrame, chosen: Measure, output: Path) -> None:
    from howfar.errors import NotMeasurableError
    from howfar.reports.tables import is_table, notes, readable, write_dataset, write_table

    if not output.suffix:
        write_dataset(table, output, chosen.partitions)
        say(f"The table is in the files of {output}")
    elif is_table(output):
        write_table(table, output)
        say(f"The table is in {output}")
    elif not readable(table, chosen.columns, 1)[1]:
        raise NotMeasurableError(f"there is nothing to draw: {'; '.join(notes(table))}")
    else:
        chosen.draw(table).save(output)
        say(f"The picture is in {output}")

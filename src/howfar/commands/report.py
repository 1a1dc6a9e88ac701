"""`howfar report`: all measures of some models, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from howfar.commands.options import Corpus, Gold, Seed, Texts, check_given
from howfar.commands.output import say

DEFAULT_OUTPUT = Path("report.html")


def report(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Bundled models, folders or Hub ids. Those with plain positions are what the others are compared with."
        ),
    ],
    corpus: Corpus = None,
    text: Texts = None,
    gold: Gold = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(metavar="<name>", help="Take only this measure of `howfar measure`. May be repeated."),
    ] = None,
    seed: Seed = 0,
    tables: Annotated[Path | None, typer.Option(help="Folder for each measure's table, as Parquet.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Web page to write.")] = DEFAULT_OUTPUT,
) -> None:
    """Take all measures of some models and set the published figures beside them.

    Example: howfar report bilingual-per-layer bilingual-rope --corpus corpora/bilingual -o report.html

    What cannot be measured is listed with the reason.
    """
    check_given(*models, corpus=None if text else corpus, files=[*(text or ()), *(gold or ())])
    from howfar.charts.outputs import check_folder_of_tables, check_page
    from howfar.measures.files import read_inputs
    from howfar.progress import progress_bars
    from howfar.reports.report import report

    check_page(output)
    if tables is not None:
        check_folder_of_tables(tables)
    inputs = read_inputs(corpus=corpus, texts=text, gold=gold, seed=seed)
    with progress_bars() as watch:
        found = report(models, inputs, measures=measure, watch=watch)
    found.save(output)
    say(f"The report is in {output}")
    if tables is not None:
        say(f"{len(found.save_tables(tables))} tables are in {tables}")

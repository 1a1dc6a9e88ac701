"""`howfar report`: all measures of some models, as one page."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from howfar.commands.options import Classes, Corpus, Device, DType, Gold, Mark, Seed, Texts, check_given, placed
from howfar.commands.output import say
from howfar.errors import ConfigError

DEFAULT_OUTPUT = Path("report.html")


def report(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Bundled models, folders or Hub ids; the others are compared with those that have plain positions. "
            "Or the folder of one study."
        ),
    ],
    corpus: Corpus = None,
    text: Texts = None,
    gold: Gold = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<name>",
            help="Take only this measure of `howfar measure`. May be repeated. [default: all of a model]",
        ),
    ] = None,
    classes: Classes = None,
    seed: Seed = 0,
    mark: Mark = None,
    device: Device = None,
    dtype: DType = None,
    tables: Annotated[Path | None, typer.Option(help="Folder for each measure's table, as Parquet.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Web page to write.")] = DEFAULT_OUTPUT,
) -> None:
    """Take all measures of some models, with the published figures beside them.

    Example: howfar report bilingual-per-layer bilingual-rope --corpus corpora/bilingual -o report.html

    What cannot be measured is listed with the reason. For a study, the page shows losses by seed, differences over
    pairs of runs, the layers that mark Chinese words (`--gold`, else jieba's), and the spacing of one text (`--text`)
    by every seed.
    """
    if study := next((model for model in models if _is_study(model)), None):
        if len(models) > 1:
            raise ConfigError(f"{study} is a study, which is reported alone; leave out what else is named")
        if mark is not None:
            raise ConfigError("a study's models have their own document mark; leave out --mark")
        if classes is not None:
            raise ConfigError("the page of a study compares no classes of tokens; leave out --classes")
        if device or dtype:
            raise ConfigError("the page of a study reads its models on the CPU; leave out --device and --dtype")
        if corpus is not None:
            raise ConfigError("the page of a study measures its models on their own corpus; leave out --corpus")
        if measure or tables is not None:
            raise ConfigError("the page of a study has its own measures, no tables; leave out --measure and --tables")
        if seed:
            raise ConfigError("the page of a study is always the same; leave out --seed")
        if text and len(text) > 1:
            raise ConfigError("the page of a study draws one text; give --text once")
        _of_study(study, text, gold, output)
        return
    check_given(*models, corpus=None if text else corpus, files=[*(text or ()), *(gold or ())])
    from howfar.charts.outputs import check_folder_of_tables, check_page
    from howfar.measures.files import read_inputs
    from howfar.progress import progress_bars
    from howfar.reports.report import report

    check_page(output)
    if tables is not None:
        check_folder_of_tables(tables)
    where = placed(device, dtype)
    inputs = read_inputs(corpus=corpus, texts=text, gold=gold, classes=classes, seed=seed)
    with progress_bars() as watch:
        found = report(models, inputs, measures=measure, mark=mark, watch=watch, **where)
    try:
        found.save(output)
        say(f"The report is in {output}")
    finally:  # one that cannot be written does not cost the other
        if tables is not None:
            number = len(found.save_tables(tables))
            say(f"{number} {'table is' if number == 1 else 'tables are'} in {tables}")


def _is_study(name: str) -> bool:
    with suppress(OSError):  # a name that no file can have
        return (Path(name) / "study.json").is_file()
    return False


def _of_study(folder: str, text: list[Path] | None, gold: list[Path] | None, output: Path) -> None:
    """Write the page of a study; its models are measured on their own corpus, and draw the first text."""
    check_given(files=[*(text or ()), *(gold or ())])
    from howfar.charts.outputs import check_page
    from howfar.files import write_file
    from howfar.measures.files import read_gold, read_texts
    from howfar.progress import progress_bars
    from howfar.reports.study import study_html
    from howfar.studies.study import Study
    from howfar.text.examples import EXAMPLES

    check_page(output)
    spaced, *others = read_texts(text) if text else (EXAMPLES["English"],)
    with progress_bars() as watch:
        page = study_html(Study.open(folder), spaced, gold=read_gold(gold) if gold else None, watch=watch)
    write_file(output, page)
    say(f"The report is in {output}{f'; it draws the first of {1 + len(others)} documents' if others else ''}")

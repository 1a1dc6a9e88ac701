"""`howfar measure`: measure a model's increments, one question at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from howfar.commands.options import (
    Classes,
    Corpus,
    Device,
    DType,
    Gold,
    Mark,
    NumWorkers,
    Ray,
    Seed,
    Texts,
    check_given,
    placed,
)
from howfar.commands.output import console, printing, say, say_json
from howfar.commands.tables import print_table
from howfar.foreign import harmless_lines
from howfar.measures.choices import Language, ProbeKind, Target

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

    from howfar.measures.declaration import Measure
    from howfar.measures.inputs import Inputs
    from howfar.measures.register import Claim

SAMPLES = (
    "documents; gaps in boundaries and segmentation; tokens in gap_effects and information; "
    "windows in extrapolation; seeds in calibration"
)
"""The unit of the sample size, by measure."""


def measure(
    name: Annotated[str | None, typer.Argument(help="What to measure; leave it out for a list.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="<model>",
            help="A bundled model, a folder or a Hub id; several are treated as seeds of one kind. "
            "[default: the first of `howfar models`]",
        ),
    ] = None,
    corpus: Corpus = None,
    text: Texts = None,
    gold: Gold = None,
    target: Annotated[
        Target | None,
        typer.Option(help="Boundaries to look for, in boundaries and segmentation. [default: chinese-words]"),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="CSV file of names for pairs, instead of the bundled list.")
    ] = None,
    language: Annotated[Language | None, typer.Option(help="Language of this list. [default: en]")] = None,
    classes: Classes = None,
    probe: Annotated[
        ProbeKind | None,
        typer.Option(help="Probe of the residual stream, in boundaries; mlp runs both kinds and takes minutes."),
    ] = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            metavar="<int>", help="Layer to change, in interventions and sensitivity. May be repeated. [default: all]"
        ),
    ] = None,
    training_length: Annotated[
        int | None,
        typer.Option(
            min=2, metavar="<tokens>", help="Shortest context, in extrapolation. [default: the model's longest]"
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<model>", help="Model with plain positions to compare with, in neutrality. May be repeated."
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(help=f"Sample size: {SAMPLES}.")] = None,
    seed: Seed = 0,
    mark: Mark = None,
    device: Device = None,
    dtype: DType = None,
    workers: NumWorkers = 1,
    ray: Ray = None,
    register: Annotated[
        Path | None,
        typer.Option(help="File for a claim. With --claim: write it and measure nothing. Without: measure, check it."),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<claim>",
            help="Part of a claim: column=value chooses the row; value<NUMBER or value>NUMBER. May be repeated.",
        ),
    ] = None,
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
    files = [*(text or ()), *(gold or ()), *([pairs] if pairs else ())]
    check_given(*(model or (None,)), corpus=None if text else corpus, files=files)
    import howfar
    from howfar.charts.outputs import check_output
    from howfar.errors import ConfigError
    from howfar.measures.files import read_inputs
    from howfar.measures.over_models import declared
    from howfar.measures.registry import measure_named

    if as_json and as_csv:
        raise ConfigError("--json and --csv are both given; give one of them")
    chosen = measure_named(name)
    if output is not None:
        check_output(output, chosen.partitions)
    probes = None if probe is None else tuple(dict.fromkeys(("linear", probe)))
    inputs = read_inputs(
        corpus=corpus,
        texts=text,
        gold=gold,
        pairs=pairs,
        target=target,
        language=language,
        classes=classes,
        probes=probes,
        layers=layer,
        training_length=training_length,
        against=against,
        sample=sample,
        seed=seed,
    )
    chosen.check(inputs)
    for option, value in {"--model": model, "--mark": mark, "--device": device, "--dtype": dtype}.items():
        if value and not chosen.of_model:
            raise ConfigError(f"{chosen.name} trains its own models; leave out {option}")
    if mark and not chosen.reads:
        raise ConfigError(f"{chosen.name} reads no document, so there is no mark before one; leave out --mark")
    where = placed(device, dtype)
    verdict, reading = None, howfar.workers(workers, ray=ray)
    if model is not None and len(model) > 1:
        with reading:
            table, source = _measure_all(chosen, model, inputs, mark, where, register or claim, output)
        chosen = declared(chosen)
    else:
        loaded, named = _load(chosen, model[0] if model else None, None, mark, where)
        registered = _claim(chosen, loaded, inputs, register, claim)
        if registered is None and register is not None:
            say(f"The claim is in {register}; the same command without --claim checks it")
            return
        with reading:
            table, source = _measure_one(chosen, loaded, named, inputs)
        verdict = registered.verdict(table) if registered is not None else None
    with printing() as check_printed:  # if printing fails, the table is still written
        if as_csv:
            typer.echo(harmless_lines(table.write_csv().rstrip("\n")))
        elif as_json:
            say_json(json.loads(table.write_json()))
        else:
            print_table(table, chosen, source)
        if verdict is not None:
            say(verdict, err=as_json or as_csv)
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


def _load(
    chosen: Measure, model: str | None, label: str | None, mark: str | None, where: dict[str, Any]
) -> tuple[PreTrainedModel | None, str]:
    """The model, if the measure needs one, and the name that others will see, with its mark."""
    from howfar.inputs import public_name
    from howfar.models.loading import choose_mark, load
    from howfar.text.marks import name_with_mark

    if not chosen.of_model:
        return None, "models trained for this"
    loaded = load(model, **where)
    found = choose_mark(loaded, mark) if chosen.reads else None
    return loaded, name_with_mark(label or public_name(model or Path(loaded.name_or_path).name), found)


def _measure_one(
    chosen: Measure, loaded: PreTrainedModel | None, named: str, inputs: Inputs
) -> tuple[pl.DataFrame, str]:
    """The table, and a line that names its sources."""
    from howfar.progress import progress_bars

    with progress_bars() as watch:
        table = chosen.take(loaded, inputs, watch(chosen.name))
    return table, chosen.source(table, named, inputs)


def _measure_all(
    chosen: Measure,
    models: list[str],
    inputs: Inputs,
    mark: str | None,
    where: dict[str, Any],
    claimed: Path | list[str] | None,
    output: Path | None,
) -> tuple[pl.DataFrame, str]:
    """The table of several models, and a line that names its sources."""
    from howfar.charts.outputs import is_table
    from howfar.errors import ConfigError
    from howfar.inputs import public_names
    from howfar.measures.over_models import over_models

    if len(set(models)) < len(models):
        raise ConfigError("a model is given more than once; give each once")
    if claimed:
        raise ConfigError("a claim is about one model; give one --model")
    if output is not None and not is_table(output):
        raise ConfigError("several models give a table but no picture; give -o a name in .csv, .parquet or .json")
    tables, names = {}, []
    for model, label in zip(models, public_names(models), strict=True):
        loaded, named = _load(chosen, model, label, mark, where)
        tables[label], source = _measure_one(chosen, loaded, named, inputs)
        names.append(named)
    return over_models(tables, chosen), source.replace(named, ", ".join(names), 1)


def _claim(
    chosen: Measure, loaded: PreTrainedModel | None, inputs: Inputs, path: Path | None, parts: list[str] | None
) -> Claim | None:
    """The registered claim to check; None if there is none, or if this command only writes it."""
    from howfar.errors import ConfigError
    from howfar.measures.register import Claim, register, registered

    if path is None:
        if parts:
            raise ConfigError("a claim needs a file to be written to; name one with --register FILE")
        return None
    if parts:
        register(path, Claim.parse(parts, chosen), chosen, loaded, inputs)
        return None
    return registered(path, chosen, loaded, inputs)


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
        draw(chosen, table, source=source, otherwise=", or end the name in .csv").save(output)
        written = f"The picture is in {output}"
    say(written, err=to_stderr)

"""`howfar graft`: give a pretrained model learned positions."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from howfar.commands.output import say
from howfar.errors import ConfigError
from howfar.positions.config import Scope

Trained = Literal["increments", "lora", "full"]


def graft(
    model: Annotated[
        str | None, typer.Argument(help="Pretrained model: a Hub id, a folder or a GGUF file; by default the recipe's.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Corpus of the model's tokens, from `howfar corpus build --tokenizer MODEL`.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<path>", help="Text to train on instead of a corpus: files, folders, globs. May be repeated."
        ),
    ] = None,
    mark: Annotated[
        str | None,
        typer.Option(help="Token between the documents of --text. [default: the tokenizer's end of sequence]"),
    ] = None,
    train: Annotated[
        Trained | None,
        typer.Option(help="Train the increments alone (the default), with a LoRA adapter, or with all weights."),
    ] = None,
    scope: Annotated[Scope | None, typer.Option(help="One set of positions for all layers, or one per layer.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps; by default the recipe's.")] = None,
    context: Annotated[int | None, typer.Option(min=2, help="Tokens in a window.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also train the model with plain positions, on the same windows.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the model on the Hub.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="TOML file, or the name of a bundled recipe, for example graft-lora; options override it."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace a value of the recipe, as in --set trainer.bf16=true. May be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the graft; by default runs/NAME.")
    ] = None,
) -> None:
    """Add learned positions to a pretrained model and train them. At the start the model computes what it did before.

    Example: howfar graft HuggingFaceTB/SmolLM2-135M --text notes.txt --baseline

    The same command continues an interrupted run.
    """
    from howfar.training.graft_recipe import GraftRecipe
    from howfar.training.graft_run import graft

    if corpus and text:
        raise ConfigError("--corpus and --text are both given; give one of them")
    if text and any(setting.partition("=")[0].strip() == "corpus" for setting in settings or ()):
        raise ConfigError("--set corpus and --text are both given; give one of them")
    if mark is not None and not text:
        raise ConfigError("--mark belongs to --text; a corpus keeps the mark that it was built with; leave out --mark")
    if not recipe and not (model and (corpus or text)):
        raise ConfigError(
            "a graft needs a pretrained model and text to train on; give MODEL and either --corpus FOLDER or "
            "--text FILE, or a recipe that names them"
        )
    kind = train or "increments"
    options = {
        "name": None if recipe else f"graft-{Path(str(model)).name.removesuffix('.gguf')}-{kind}",
        "base": model,
        "revision": revision,
        "corpus": str(corpus) if corpus else text and "text",  # it is inside the output folder, which has the name
        "train": train,
        "context": context,
        "baseline": baseline or None,
    }
    overrides: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if scope:
        overrides["increments"] = {"scope": scope}
    if steps:
        overrides["trainer"] = {"max_steps": steps}
    chosen = GraftRecipe.load(recipe or f"graft-{kind}", overrides=overrides, settings=settings or ())
    output = output or Path("runs", chosen.name)
    if text:
        chosen = dataclasses.replace(chosen, corpus=str(output / "corpus"))
    graft(chosen, output, text=text or (), mark=mark)
    _report(output)


def _report(folder: Path) -> None:
    """Print the results."""
    from howfar.models.graft_card import LABELS
    from howfar.models.pretrained import load_tokenizer
    from howfar.text.marks import unusual_mark
    from howfar.training.checkpoints import read_record

    losses = read_record(folder).get("losses", {})
    for name, loss in losses.items():
        typer.echo(f"{loss['nats_per_byte']:.5f} nats per byte, {LABELS[name]}")
    if not losses:
        typer.echo(
            "No loss was measured: no document is held out. The text is one document, or one document is most of it: "
            "separate documents by blank lines, or build a corpus with `--source NAME=TEXT,held_out=TEXT`."
        )
    else:
        typer.echo(f"on {losses['graft']['documents']:,} held-out documents")
    if found := unusual_mark(load_tokenizer(folder)):
        say(f"Documents are read with the document mark {found}, as in `howfar show`")
    say(f'The graft is in {folder}; look at it with: howfar show --model {shlex.quote(str(folder))} "Some text."')

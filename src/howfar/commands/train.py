"""`howfar train` and `howfar recipes`."""

from __future__ import annotations

import shlex
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from textwrap import fill
from typing import Annotated

import typer

from howfar.commands.output import say, say_json


def train(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a bundled recipe.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; by default runs/NAME.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Folder of the corpus, instead of the recipe's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace a value of the recipe, as in --set max_steps=100. May be repeated.",
        ),
    ] = None,
) -> None:
    """Train a model from scratch, or continue an interrupted run.

    Example: howfar train small-per-layer --corpus corpora/mine
    """
    from howfar.training.checkpoints import read_record
    from howfar.training.recipe import Recipe
    from howfar.training.run import train

    overrides = {} if corpus is None else {"corpus": str(corpus)}
    chosen = Recipe.load(recipe, overrides=overrides, settings=settings or ())
    output = output or Path("runs", chosen.name)
    train(chosen, output)
    if held_out := read_record(output).get("held_out"):
        number = held_out["documents"]
        documents = "document" if number == 1 else "documents"
        typer.echo(f"{held_out['nats_per_byte']:.4f} nats per byte on {number:,} held-out {documents}")
    say(f'The model is in {output}; look at it with: howfar show --model {shlex.quote(str(output))} "Some text."')


def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of text.")] = False,
) -> None:
    """List the bundled recipes.

    The graft-... recipes are for howfar graft, the others for howfar train.
    """
    from howfar.training.recipe_files import describe_recipes

    found = describe_recipes()
    if as_json:
        say_json(found)
        return
    blocks = []
    for about, alike in groupby(found, key=itemgetter("about")):
        lines = (f"  {recipe['name']:30}{recipe['positions']}" for recipe in alike)
        blocks.append("\n".join([fill(about, 80), *lines]))
    typer.echo("\n\n".join(blocks))

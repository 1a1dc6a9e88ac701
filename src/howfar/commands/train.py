"""`howfar train` and `howfar recipes`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from howfar.commands.output import say


def train(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a bundled recipe.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; by default runs/NAME.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Folder of the corpus, instead of the recipe's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, as in --set max_steps=100."),
    ] = None,
) -> None:
    """Train a model from scratch, or continue an interrupted run.

    Example: howfar train small-per-layer --corpus corpora/mine
    """
    from howfar.training.recipe import Recipe
    from howfar.training.run import train

    overrides = {} if corpus is None else {"corpus": str(corpus)}
    chosen = Recipe.load(recipe, overrides=overrides, settings=settings or ())
    output = output or Path("runs", chosen.name)
    train(chosen, output)
    say(f'The model is in {output}; look at it with: howfar show --model {shlex.quote(str(output))} "Some text."')


def recipes() -> None:
    """List the bundled recipes."""
    from howfar.training.recipe_files import RECIPES, bundled_recipes

    for name in [*bundled_recipes(), *bundled_recipes(grafts=True)]:
        first, *_ = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        typer.echo(f"{name:30}{first.lstrip('# ')}")

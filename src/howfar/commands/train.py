"""`howfar train` and `howfar recipes`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from howfar.errors import ConfigError


def train(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that comes with the package.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; runs/NAME where not given.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Folder of the corpus, in place of the recipe's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, as in --set trainer.max_steps=100."),
    ] = None,
) -> None:
    """Train a model from scratch, or carry on where a run was interrupted.

    Example: howfar train small-per-layer --corpus corpora/mine
    """
    from howfar.training.recipe import Recipe
    from howfar.training.run import train

    overrides = parse_settings(settings or [])
    if corpus is not None:
        overrides["corpus"] = str(corpus)
    chosen = Recipe.load(recipe, overrides=overrides)
    output = output or Path("runs", chosen.name)
    train(chosen, output)
    typer.echo(f'The model is in {output}; look at it with: howfar show --model {output} "Some text."')


def recipes() -> None:
    """List the recipes that come with the package."""
    from howfar.training.recipe import RECIPES, bundled_recipes

    for name in [*bundled_recipes(), *bundled_recipes(grafts=True)]:
        first, *_ = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        typer.echo(f"{name:30}{first.lstrip('# ')}")


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Read `table.key=value` settings into nested values; what is not a TOML value is a string.

    Raises:
        ConfigError: A setting has no `=`, or its key is nested deeper than a recipe is.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        table, _, name = key.rpartition(".")
        if not (equals and name) or "." in table:
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE; give, say, --set trainer.max_steps=100")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        if table:
            values.setdefault(table, {})[name] = value
        else:
            values[name] = value
    return values

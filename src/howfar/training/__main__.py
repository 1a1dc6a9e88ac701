"""`python -m howfar.training RECIPE [OUTPUT]`: `howfar train` with only training's own dependencies."""

from __future__ import annotations

import sys

from howfar.errors import HowFarError
from howfar.training.recipe import Recipe
from howfar.training.run import train

USAGE = "usage: python -m howfar.training RECIPE [OUTPUT]"


def main(arguments: list[str]) -> int:
    """Train from a recipe; returns the exit code."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if not 1 <= len(arguments) <= 2:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        recipe = Recipe.load(arguments[0])
        train(recipe, arguments[1] if len(arguments) > 1 else f"runs/{recipe.name}")
    except (HowFarError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

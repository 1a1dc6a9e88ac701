"""Training: recipe -> corpus -> Transformers' Trainer -> checkpoint.

    from howfar.training import Recipe, train

    model = train(Recipe.load("small-per-layer"), "runs/mine")

Each name below is fetched from its module when it is first used, so that to read a recipe does not load the Trainer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from howfar.training.evaluation import document_losses
    from howfar.training.graft_recipe import GraftRecipe
    from howfar.training.recipe import Recipe, bundled_recipes
    from howfar.training.run import fit, train

__all__ = ["GraftRecipe", "Recipe", "bundled_recipes", "document_losses", "fit", "train"]

_HOME = {
    "GraftRecipe": "graft_recipe",
    "Recipe": "recipe",
    "bundled_recipes": "recipe",
    "document_losses": "evaluation",
    "fit": "run",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'howfar.training' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"howfar.training.{_HOME[name]}"), name)

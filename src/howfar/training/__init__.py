"""Training: recipe -> corpus -> Transformers' Trainer -> checkpoint.

    from howfar.training import Recipe, train

    model = train(Recipe.load("small-per-layer"), "runs/mine")

Each name below is imported from its module at first use, so that reading a recipe does not load the Trainer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.imports import lazily

if TYPE_CHECKING:
    from howfar.training.evaluation import document_losses
    from howfar.training.graft_recipe import GraftRecipe
    from howfar.training.graft_run import graft
    from howfar.training.recipe import Recipe
    from howfar.training.recipe_files import bundled_recipes
    from howfar.training.run import fit, train

__all__ = ["GraftRecipe", "Recipe", "bundled_recipes", "document_losses", "fit", "graft", "train"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "evaluation": ("document_losses",),
        "graft_recipe": ("GraftRecipe",),
        "graft_run": ("graft",),
        "recipe": ("Recipe",),
        "recipe_files": ("bundled_recipes",),
        "run": ("fit", "train"),
    },
)

"""The parameter-matched control: a plain model with wider feed-forward layers.

Increments add parameters. A plain model of the same shape is smaller, so a lower loss with increments could be due to
size alone. (Networks that run while their increments are overridden by 1 are not a control: nothing trains them, and
the model is the plain one.)
"""

from __future__ import annotations

import json

import torch

from howfar.errors import ConfigError
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.recipe import Recipe

_FOUND: dict[str, int] = {}  # widths by a recipe's tables, since a study has many recipes of one size


def parameter_matched(recipe: Recipe) -> Recipe:
    """The recipe of a plain model with almost as many parameters as one with increments; all else is the same.

    Feed-forward layers can only be widened by whole units in all layers at once.

    Args:
        recipe: The recipe of a model with increments.

    Raises:
        ConfigError: The recipe's model has no increments.
    """
    if recipe.increments is None:
        raise ConfigError(f"the recipe {recipe.name!r} has no increments to match; give one that has [increments]")
    tables = json.dumps([recipe.model, recipe.increments, recipe.encoding], sort_keys=True)
    if tables not in _FOUND:
        width = recipe.model_config().intermediate_size
        plain, wider = (count_parameters(_plain(recipe, width + more)) for more in (0, 1))
        _FOUND[tables] = width + round((count_parameters(recipe) - plain) / (wider - plain))
    return _plain(recipe, _FOUND[tables])


def count_parameters(recipe: Recipe) -> int:
    """The number of parameters of a recipe's model; shared ones count once."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in HowFarForCausalLM(recipe.model_config()).parameters())


def _plain(recipe: Recipe, width: int) -> Recipe:
    model = {**recipe.model, "intermediate_size": width}
    return recipe.plain(name=f"{recipe.name}-parameter-matched", model=model)

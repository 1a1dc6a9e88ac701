from typing import Any

import pytest

from howfar.errors import ConfigError
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.recipe import Recipe
from howfar.training.settings import apply_settings

OPTIONS = {
    "name": None,
    "seed": None,
    "trainer": ["max_steps", "bf16", "kwargs"],
    "model": ["width"],
    "other": ["width"],
}


def applied(*settings: str, **values: Any) -> dict[str, Any]:
    apply_settings(values, settings, OPTIONS)
    return values


def test_settings_are_toml_values_or_else_strings() -> None:
    values = applied("seed=3", "trainer.max_steps=10", "trainer.bf16=true", "name=mine")
    assert values == {"seed": 3, "trainer": {"max_steps": 10, "bf16": True}, "name": "mine"}
    for wrong in ("seed", "=3", "a..c=1", ".a=1", "a.=1"):
        with pytest.raises(ConfigError, match="is not KEY=VALUE"):
            applied(wrong)


def test_a_value_of_several_lines_is_a_string_whole() -> None:
    assert applied("seed=1\nx=2") == {"seed": "1\nx=2"}


def test_a_key_of_one_table_needs_no_table() -> None:
    assert applied("max_steps=10") == {"trainer": {"max_steps": 10}}
    assert applied("kwargs.decay=3") == {"trainer": {"kwargs": {"decay": 3}}}
    with pytest.raises(ConfigError, match=r"--set width: \[model\] and \[other\] have it; write model\.width"):
        applied("width=1")


def test_keys_reach_as_deep_as_a_recipe_is() -> None:
    given = {"trainer": {"kwargs": {"decay": 1, "kind": "line"}, "bf16": True}}
    assert applied("trainer.kwargs.decay=2", "trainer.kwargs.a.b=3", **given) == {
        "trainer": {"kwargs": {"decay": 2, "kind": "line", "a": {"b": 3}}, "bf16": True}
    }
    assert given == {"trainer": {"kwargs": {"decay": 1, "kind": "line"}, "bf16": True}}
    assert applied("trainer.kwargs={}", **given)["trainer"]["kwargs"] == {}
    assert applied("trainer.kwargs.decay=2", trainer={"kwargs": None}) == {"trainer": {"kwargs": {"decay": 2}}}
    with pytest.raises(ConfigError, match=r"'trainer\.bf16\.x=1': trainer\.bf16 is True, not a table"):
        applied("trainer.bf16.x=1", **given)
    with pytest.raises(ConfigError, match="seed is 3, not a table"):
        applied("seed.x=1", seed=3)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("max_stpes=1", r"did you mean trainer\.max_steps"),
        ("nmae=1", r"did you mean name\?"),
        ("zzzz=1", "see the recipe's file"),
        ("trainer.max_step=1", r"\[trainer\] has no option 'max_step'; did you mean 'max_steps'\?"),
        ("trianer.max_steps=1", r"the file has no option 'trianer'; did you mean 'trainer'\?"),
    ],
)
def test_the_nearest_name_is_offered(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        applied(setting)


def test_recipes_of_both_kinds_take_settings() -> None:
    recipe = Recipe.load("small-shared", settings=["trainer.lr_scheduler_kwargs.num_decay_steps=10", "max_steps=40"])
    assert recipe.trainer["lr_scheduler_kwargs"] == {"num_decay_steps": 10, "decay_type": "1-sqrt"}
    assert recipe.trainer["max_steps"] == 40
    given = {"base": "model", "corpus": "corpus"}
    graft = GraftRecipe.load("graft-lora", overrides=given, settings=["per_head=true", "max_steps=7", "lora.r=2"])
    assert (graft.increments, graft.trainer["max_steps"]) == ({"scope": "shared", "per_head": True}, 7)
    assert graft.lora == {"r": 2, "lora_alpha": 32}


def test_settings_come_after_overrides() -> None:
    overrides = {"seed": 1, "trainer": {"max_steps": 2}}
    recipe = Recipe.load("small-shared", overrides=overrides, settings=["seed=3", "max_steps=4"])
    assert (recipe.seed, recipe.trainer["max_steps"]) == (3, 4)


@pytest.mark.parametrize(("kind", "name"), [(Recipe, "graft-lora"), (GraftRecipe, "small-shared")])
def test_a_recipe_of_the_other_kind_is_refused_and_its_command_named(kind: Any, name: str) -> None:
    said = r"kind is '\w+', but here it must be '\w+'; kinds are 'scratch' \(howfar train\) or 'graft' \(howfar graft\)"
    with pytest.raises(ConfigError, match=said):
        kind.load(name)
    with pytest.raises(ConfigError, match="kind is 'graff'"):
        kind.load(name, overrides={"kind": "graff"})

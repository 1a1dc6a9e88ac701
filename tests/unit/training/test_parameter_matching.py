from dataclasses import replace

import pytest

from howfar.errors import ConfigError
from howfar.training.parameter_matching import count_parameters, parameter_matched
from howfar.training.recipe import Recipe

MODEL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}
ONE_UNIT = 3 * MODEL["hidden_size"] * MODEL["num_hidden_layers"]  # gate, up and down, in each layer


def recipe(**increments: object) -> Recipe:
    return Recipe(name="r", corpus="c", seed=3, model=MODEL, increments=increments, trainer={"max_steps": 2})


def test_counts_by_hand() -> None:
    plain = Recipe(name="r", corpus="c", model=MODEL, trainer={"max_steps": 2})
    attention, feed_forward, norms = 4 * 16 * 16, 3 * 16 * 24, 2 * 16
    assert count_parameters(plain) == 257 * 16 + 2 * (attention + feed_forward + norms) + 16


@pytest.mark.parametrize("hidden_size", [4, 16, 200])
def test_control_is_as_near_as_whole_units_allow(hidden_size: int) -> None:
    own = recipe(scope="per_layer", hidden_size=hidden_size)
    assert abs(count_parameters(parameter_matched(own)) - count_parameters(own)) <= ONE_UNIT / 2


def test_all_else_is_the_same() -> None:
    own = recipe(scope="shared", hidden_size=100)
    control = parameter_matched(own)
    assert control.increments is None
    assert control.name == "r-parameter-matched"
    assert (control.seed, control.corpus, control.trainer) == (own.seed, own.corpus, own.trainer)
    assert control.model.keys() == MODEL.keys()
    assert {key for key in MODEL if control.model[key] != MODEL[key]} == {"intermediate_size"}


def test_the_control_has_no_rate_of_increments() -> None:
    own = replace(recipe(scope="shared"), increment_learning_rate=1e-3)
    assert parameter_matched(own).increment_learning_rate is None


def test_refuses_a_plain_recipe() -> None:
    plain = Recipe(name="r", corpus="c", model=MODEL, trainer={"max_steps": 2})
    with pytest.raises(ConfigError, match="recipe 'r' has no increments to match"):
        parameter_matched(plain)

from typing import Any

import pytest

from howfar.errors import ConfigError
from howfar.positions import IncrementConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scope": "global"}, "scope is 'global'; it must be 'shared' or 'per_layer'"),
        ({"bound": "relu"}, "bound is 'relu'; it must be 'softplus' or 'sigmoid' or 'signed'"),
        ({"advance": "never"}, "advance is 'never'; it must be 'before' or 'after'"),
        ({"start": "zero"}, "start is 'zero'; it must be 'identity' or 'random'"),
        ({"angles": "bfloat16"}, "angles is 'bfloat16'; it must be 'float32' or 'float64'"),
        ({"per_head": "yes"}, "per_head is 'yes'; it must be true or false"),
        ({"accumulate": 1}, "accumulate is 1; it must be true or false"),
        ({"max_increment": 1}, "max_increment is 1; it must be a number greater than 1"),
        ({"max_increment": float("nan")}, "max_increment is nan; it must be a number"),
        ({"max_increment": float("inf")}, "max_increment is inf; it must be a number"),
        ({"max_increment": "10"}, "max_increment is '10'; it must be a number"),
        ({"max_increment": 10**400}, "0; it must be a number"),
        ({"max_increment": True}, "max_increment is True; it must be a number"),
        ({"bound": ["softplus"]}, "bound is ['softplus']; it must be a string"),
        ({"hidden_size": True}, "hidden_size is True; it must be a whole number, at least 1"),
        ({"hidden_size": 0}, "hidden_size is 0; it must be a whole number, at least 1"),
        ({"hidden_size": 1.5}, "hidden_size is 1.5; it must be a whole number, at least 1"),
        ({"scop": "shared"}, "there is no option 'scop'; did you mean 'scope'?"),
        ({"colour": "red"}, "there is no option 'colour'; known are scope, per_head, bound"),
        (3, "the options are 3; they must be a table"),
        (["shared"], "the options are ['shared']; they must be a table"),
    ],
)
def test_impossible_options_are_refused_in_one_line(options: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        IncrementConfig.from_dict(options)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_configuration_survives_json_values() -> None:
    config = IncrementConfig(scope="shared", per_head=True, bound="signed", max_increment=4.0, hidden_size=3)
    assert IncrementConfig.from_dict(config.to_dict()) == config

"""Checks of a model's increments that several measures share."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from howfar.errors import NotMeasurableError
from howfar.measures.boundaries import boundaries
from howfar.measures.contexts import contexts
from howfar.measures.information import information
from howfar.measures.layers import limits_of
from howfar.measures.pairs import pairs
from howfar.measures.vocabulary import vocabulary
from howfar.positions import increments_of
from support.lookup import lookup_model


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(pairs, id="pairs"),
        pytest.param(vocabulary, id="vocabulary"),
        pytest.param(lambda model: boundaries(model, []), id="boundaries"),
        pytest.param(lambda model: contexts(model, ["some text"]), id="contexts"),
        pytest.param(lambda model: information(model, ["x = 1"] * 12, classes="code"), id="information"),
    ],
)
def test_measures_of_steps_refuse_positions_that_are_no_sums(measure: Callable[..., Any]) -> None:
    with pytest.raises(NotMeasurableError, match=r"accumulate=False.*; use a model that sums its increments"):
        measure(lookup_model({}, accumulate=False))


@pytest.mark.parametrize(
    ("bound", "lowest", "highest", "limits"),
    [
        ("sigmoid", 0.0, 10.0, (0.0, 10.0)),
        ("sigmoid", 0.5, 12.0, (-math.inf, math.inf)),  # set by hand beyond the bound
        ("softplus", 0.1, 12.0, (0.0, math.inf)),
        ("softplus", -0.1, 12.0, (-math.inf, math.inf)),
        ("signed", -3.0, 12.0, (-math.inf, math.inf)),
    ],
)
def test_means_have_the_limits_of_the_bound(
    bound: str, lowest: float, highest: float, limits: tuple[float, float]
) -> None:
    assert limits_of(increments_of(lookup_model({}, bound=bound)), lowest, highest) == limits

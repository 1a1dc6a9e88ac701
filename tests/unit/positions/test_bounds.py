import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from howfar.errors import ConfigError
from howfar.positions import IncrementConfig, attach, record
from howfar.positions.bounds import Bound, bound_of
from support.models import stir, tiny, tokens


@pytest.mark.parametrize("name", ["softplus", "sigmoid", "signed"])
@pytest.mark.parametrize("highest", [1.001, 2.0, 3.0, 10.0, 1e6])
def test_a_bound_keeps_its_limits_rises_and_is_one_at_zero(name: str, highest: float) -> None:
    bound = bound_of(IncrementConfig(bound=name, max_increment=highest))
    assert bound(torch.zeros(3)).tolist() == [1.0, 1.0, 1.0]
    increments = bound(torch.linspace(-40, 40, 801))
    lower, upper = bound.limits
    assert (increments >= lower).all()
    assert (increments <= upper).all()
    assert (increments.diff() >= 0).all()
    low, high = bound.saturation(0.01)
    for limit, threshold, reached in ((lower, low, increments.min() < low), (upper, high, increments.max() > high)):
        assert bool(reached) == math.isfinite(limit) == math.isfinite(threshold)
    if 1.1 < highest < 90:
        assert low < 1 < high, "the start is not saturated"


def test_thresholds_of_saturation() -> None:
    assert bound_of(IncrementConfig(bound="sigmoid", max_increment=4)).saturation(0.01) == (0.04, 3.96)
    assert bound_of(IncrementConfig(bound="softplus")).saturation(0.01) == (0.01, math.inf)
    assert bound_of(IncrementConfig(bound="signed")).saturation(0.01) == (-math.inf, math.inf)


@pytest.fixture
def halting() -> Iterator[str]:
    """A bound of somebody else's: one class, and nothing else."""

    class Halting(Bound):
        name = "halting"

        @property
        def limits(self) -> tuple[float, float]:
            return 0.5, 1.5

        def __call__(self, logits: Tensor) -> Tensor:
            return 1 + logits.tanh() / 2

    yield Halting.name
    del Bound.known[Halting.name]


def test_a_new_bound_is_one_class(halting: str) -> None:
    config = IncrementConfig.from_dict({"bound": halting})
    model, token_ids = tiny(), tokens()
    expected = model(token_ids).logits
    increments = attach(model, config)
    assert torch.equal(model(token_ids).logits, expected)
    stir(increments, scale=2.0)
    with record(model) as recording:
        model(token_ids)
    assert 0.5 <= recording.increments[1].min() < recording.increments[1].max() <= 1.5


def test_an_unknown_bound_is_refused() -> None:
    message = r"^increments: bound is 'relu'; it must be 'softplus' or 'sigmoid' or 'signed'$"
    with pytest.raises(ConfigError, match=message):
        IncrementConfig(bound="relu")

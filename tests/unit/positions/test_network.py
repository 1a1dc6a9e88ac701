from typing import Literal

import pytest
import torch

from howfar.positions import IncrementConfig, IncrementNetwork

BOUNDS = ["softplus", "sigmoid", "signed"]


def network_of(normalise: bool = True, num_heads: int = 1, **options: object) -> IncrementNetwork:
    return IncrementNetwork(16, num_heads, IncrementConfig(**options), normalise=normalise)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("max_increment", [1.5, 3.0, 7.3, 10.0])
@pytest.mark.parametrize("num_tokens", [1, 7, 64])
def test_the_start_is_exactly_one(bound: str, max_increment: float, num_tokens: int) -> None:
    network = network_of(bound=bound, max_increment=max_increment, num_heads=3)
    increments = network(torch.randn(2, num_tokens, 16))
    assert torch.equal(increments, torch.ones(2, 3, num_tokens))


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_random_start_is_near_one(bound: str) -> None:
    increments = network_of(bound=bound, start="random")(torch.randn(2, 50, 16))
    assert 0 < (increments - 1).abs().max() < 0.2


@pytest.mark.parametrize(
    ("bound", "lowest", "highest"),
    [("softplus", 0, float("inf")), ("sigmoid", 0, 10), ("signed", -float("inf"), float("inf"))],
)
@pytest.mark.parametrize("size", [1e2, 1e6, 1e30])
def test_bounds_hold_and_gradients_stay_finite_at_extreme_inputs(
    bound: Literal["softplus", "sigmoid", "signed"], lowest: float, highest: float, size: float
) -> None:
    network = network_of(bound=bound, normalise=False)
    network.output.weight.data.normal_()
    inputs = (torch.randn(2, 50, 16) * size).requires_grad_()
    increments = network(inputs)
    assert ((increments >= lowest) & (increments <= highest)).all()
    increments.clamp(max=1e30).sum().backward()
    assert torch.isfinite(increments).all()
    assert torch.isfinite(inputs.grad).all()


def test_it_normalises_per_layer_inputs_of_any_size() -> None:
    network = network_of(start="random")
    inputs = torch.randn(2, 5, 16)
    torch.testing.assert_close(network(100 * inputs), network(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_it_stays_in_float32_when_a_model_changes_its_type(dtype: torch.dtype) -> None:
    network = network_of(start="random").to(dtype)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert network(torch.randn(1, 3, 16, dtype=dtype)).dtype == torch.float32


def test_it_stays_in_float32_under_autocast() -> None:
    network, inputs = network_of(start="random"), torch.randn(1, 3, 16)
    expected = network(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(inputs), expected)


def test_it_moves_between_devices() -> None:
    assert {parameter.device.type for parameter in network_of().to("meta").parameters()} == {"meta"}


def test_weights_drawn_anew_follow_the_start() -> None:
    for start in ("identity", "random"):
        network = network_of(start=start)
        network.output.weight.data.fill_(5)
        network.reset_parameters()
        assert (network.output.weight.abs().max() == 0) == (start == "identity")

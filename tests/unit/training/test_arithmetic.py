"""Compiled arithmetic on a CPU, as training does it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._inductor import config

from howfar.training.arithmetic import sound_arithmetic


def gradient_of_positions_of_heads(by_width: Tensor, by_token: Tensor) -> Tensor:
    """The sum over heads. As PyTorch compiles it by itself with GCC 12, it is NaN on some CPUs with AMX."""
    return (by_width.transpose(-1, -2) * by_token).sum(1)


def gradient_of_positions_of_layers(by_width: Tensor, by_token: Tensor) -> Tensor:
    """The sum over layers that share positions, of the gradients of keys and queries; likewise."""
    cosines = torch.zeros_like(by_token[:, 0])
    sines = torch.zeros_like(cosines)
    for layer in range(by_width.size(1)):
        keys, queries = by_width[:, layer].transpose(-1, -2), by_width[:, -layer].reshape(cosines.shape)
        cosines = cosines + keys * by_token[:, layer] + queries * by_token[:, -layer]
        sines = sines + keys * by_token[:, -layer] + queries * by_token[:, layer]
    return torch.stack((cosines, sines))


@pytest.mark.parametrize("gradient", [gradient_of_positions_of_heads, gradient_of_positions_of_layers])
def test_compiled_sums_of_transposed_bfloat16_are_right(gradient: Callable[[Tensor, Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    by_width = torch.randn(2, 4, 32, 64, generator=generator).bfloat16()
    by_token = torch.randn(2, 4, 64, 32, generator=generator)
    with sound_arithmetic(torch.device("cpu")):
        found = torch.compile(gradient)(by_width, by_token)
    exact = gradient(by_width.double(), by_token.double())
    torch.testing.assert_close(found, exact.float(), rtol=0, atol=0.05)
    torch.compiler.reset()


def test_the_compilers_options_are_put_back() -> None:
    before = config.cpp.enable_floating_point_contract_flag
    with sound_arithmetic(torch.device("cpu")):
        pass
    assert config.cpp.enable_floating_point_contract_flag == before

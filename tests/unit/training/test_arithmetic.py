"""Compiled arithmetic on a CPU, as training does it."""

import torch
from torch import Tensor

from howfar.training.arithmetic import sound_arithmetic


def test_a_compiled_sum_over_heads_of_transposed_bfloat16_is_right() -> None:
    """The gradient of positions: NaN, as PyTorch compiles it by itself with GCC 12, on some CPUs with AMX."""

    def gradient_of_positions(by_width: Tensor, by_token: Tensor) -> Tensor:
        return (by_width.transpose(-1, -2) * by_token).float().sum(1)

    generator = torch.Generator().manual_seed(0)
    by_width = torch.randn(2, 4, 32, 64, generator=generator).bfloat16()
    by_token = torch.randn(2, 4, 64, 32, generator=generator).bfloat16()
    with sound_arithmetic(torch.device("cpu")):
        found = torch.compile(gradient_of_positions)(by_width, by_token)
    exact = gradient_of_positions(by_width.double(), by_token.double())
    torch.testing.assert_close(found, exact.float(), rtol=0, atol=0.05)
    torch.compiler.reset()

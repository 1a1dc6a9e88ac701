"""Arithmetic on a CPU, where PyTorch's defaults are slow or, once compiled, wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch._inductor import config


@contextmanager
def sound_arithmetic(device: torch.device) -> Iterator[None]:
    """Take denormal numbers as 0, and on a CPU compile short sums as loops.

    Attention that falls fast with distance is full of denormal numbers, and some CPUs multiply them many times slower.
    PyTorch sets this for the calling thread; its other threads take it over if they start later.

    Inductor writes out a sum of up to 8 terms. Where they are transposed bfloat16, as in the gradient of positions (a
    sum over heads), GCC 12 can make code of it, for CPUs with AMX, that reads memory before it is written.

    Args:
        device: Where the model computes. A GPU's kernels keep their short sums.
    """
    before = not torch.tensor(1e-40).mul(1.0).item()
    torch.set_flush_denormal(True)
    try:
        with config.patch(unroll_reductions_threshold=1) if device.type == "cpu" else nullcontext():
            yield
    finally:
        torch.set_flush_denormal(before)

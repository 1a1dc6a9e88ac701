"""Arithmetic on a CPU, where PyTorch's defaults are slow or, once compiled, wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch._inductor import config


@contextmanager
def sound_arithmetic(device: torch.device) -> Iterator[None]:
    """Take denormal numbers as 0, and on a CPU keep a vectoriser of GCC off what is compiled inside.

    Attention that falls fast with distance is full of denormal numbers, and some CPUs multiply them many times slower.
    PyTorch sets this for the calling thread; its other threads take it over if they start later.

    Inductor transposes bfloat16 in tiles of scratch memory. Where a kernel adds several of them, as the gradient of
    positions does (over heads, and over layers that share them), GCC 12's vectoriser of straight-line code can, for
    CPUs with AMX, read that memory before it is written. Inductor writes vectors itself, and switches the vectoriser
    of loops off for faults of the same kind.

    Args:
        device: Where the model computes.
    """
    before = not torch.tensor(1e-40).mul(1.0).item()
    torch.set_flush_denormal(True)
    try:
        with config.patch(_compiler_options(device)):
            yield
    finally:
        torch.set_flush_denormal(before)


def _compiler_options(device: torch.device) -> dict[str, object]:
    if device.type != "cpu":
        return {}
    options: dict[str, object] = {"unroll_reductions_threshold": 1}  # short sums as loops: 3% less time a step
    if sys.platform == "linux":
        # Inductor has no setting for other options; it puts this value into the command line of the compiler as it is.
        contraction = config.cpp.enable_floating_point_contract_flag
        options["cpp.enable_floating_point_contract_flag"] = f"{contraction} -fno-tree-slp-vectorize"
    return options

"""Read tensors from safetensors files into parameters: all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from howfar.errors import CheckpointError

_ADVICE = "save or download it again"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is missing, damaged or not a file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if not path.is_file():  # reading a pipe would wait forever
            raise OSError("there is no such file")
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({error}); {_ADVICE}") from None


@torch.no_grad()
def copy_tensors(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Set parameters to a file's tensors, all of them or none.

    Args:
        parameters: The parameters to set, by their names in the file.
        tensors: The file's tensors.
        path: The file, for messages.

    Raises:
        CheckpointError: A tensor is missing, left over, of another shape or type, or has values that are not finite.
    """
    wrong = [f"{name} is missing" for name in sorted(parameters.keys() - tensors.keys())]
    wrong += [f"{name} is left over" for name in sorted(tensors.keys() - parameters.keys())]
    for name in sorted(parameters.keys() & tensors.keys()):
        got, needed = tensors[name], parameters[name]
        if got.shape != needed.shape:
            wrong.append(f"{name} has shape {list(got.shape)} instead of {list(needed.shape)}")
        elif got.is_floating_point() != needed.is_floating_point():
            wrong.append(f"{name} is of type {got.dtype} instead of {needed.dtype}")
    if wrong:
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise CheckpointError(f"{path} does not fit the model: {wrong[0]}{others}; use the files that belong together")
    check_finite(tensors.items(), path)
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


def check_finite(tensors: Iterable[tuple[str, Tensor]], where: str | Path, *, advice: str = _ADVICE) -> None:
    """Refuse tensors with NaN or infinite values, which damaged weights and diverged training have.

    Args:
        tensors: Tensors by name.
        where: What holds them, for messages.
        advice: What to do if one has such a value.

    Raises:
        CheckpointError: A tensor has such a value.
    """
    for name, tensor in tensors:
        # A sum is the fastest check; if it is infinite, the finite values may only have been too large for it.
        if tensor.is_floating_point() and not tensor.sum(dtype=torch.float32).isfinite():
            bad = int((~tensor.isfinite()).sum())
            if bad:
                raise CheckpointError(
                    f"{where}: {bad:,} of the {tensor.numel():,} values of {name} are NaN or infinite, so it is "
                    f"damaged, or its training diverged; use finite weights: {advice}"
                )

"""Read tensors from safetensors files, and into parameters: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from howfar.errors import CheckpointError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({error}); save or download it again") from None


@torch.no_grad()
def copy_tensors(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Set parameters to the tensors of a file, all of them or none.

    Args:
        parameters: What is to be set, by the file's names.
        tensors: What the file holds.
        path: The file, for what is said if they do not fit.

    Raises:
        CheckpointError: A tensor is missing, left over, or of another shape.
    """
    wrong = [f"{name} is missing" for name in sorted(parameters.keys() - tensors.keys())]
    wrong += [f"{name} is left over" for name in sorted(tensors.keys() - parameters.keys())]
    wrong += [
        f"{name} has shape {list(tensors[name].shape)} instead of {list(parameters[name].shape)}"
        for name in sorted(parameters.keys() & tensors.keys())
        if tensors[name].shape != parameters[name].shape
    ]
    if wrong:
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise CheckpointError(f"{path} does not fit the model: {wrong[0]}{others}; use the files that belong together")
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])

"""Models elsewhere than in the memory of the CPU: offloaded for real, and on a device that is simulated.

Tensors that are moved to the simulated device, or made there, are in the memory of the CPU, but refuse what an
accelerator's would: to be mixed with tensors of the CPU, except as PyTorch allows (a single number, an index), and to
be read by NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from accelerate import cpu_offload, disk_offload, dispatch_model, hooks
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only
from transformers import PreTrainedModel

DEVICE = torch.device("xpu:0")  # any that PyTorch has a name for
HERE = torch.device("cpu")

INDEXING = ("__getitem__", "__setitem__", "index_put_", "copy_", "__set__", "__get__")
"""Functions that take tensors of the CPU besides."""


class There(Tensor):
    """A tensor on the simulated device."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        owner = getattr(func, "__self__", None)
        if name == "__get__" and owner is Tensor.device:
            return DEVICE
        if name == "__get__" and owner is Tensor.is_cpu:
            return False
        if name in ("numpy", "__array__"):
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first")
        if name == "cpu":
            return plain(args[0])
        if name == "to":
            return move(*args, **(kwargs or {}))
        tensors = [part for part in tree_iter((args, kwargs)) if isinstance(part, Tensor)]
        if name not in INDEXING and any(type(part) is Tensor and part.dim() for part in tensors):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {DEVICE} and cpu! ({name})")
        if name == "__getitem__" and not isinstance(args[0], There):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        return super().__torch_function__(func, types, *_here(args, kwargs))


def plain(tensor: Tensor) -> Tensor:
    """A tensor's data on the CPU."""
    return tensor.as_subclass(Tensor) if isinstance(tensor, There) else tensor


def there(tensor: Tensor) -> Tensor:
    """A tensor's data on the simulated device."""
    return tensor.as_subclass(There)


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _here(args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """The arguments, with the simulated device replaced by the CPU."""
    return tree_map_only(torch.device, lambda device: HERE if _is_there(device) else device, (args, kwargs or {}))


def move(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`Tensor.to`, to and from the simulated device."""
    kwargs.pop("copy", None)  # all tensors here are read only
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
    moved = plain(tensor) if dtype is None else plain(tensor).to(dtype)
    to_there = isinstance(tensor, There) if device is None else _is_there(device)
    return there(moved) if to_there else moved


class _Elsewhere(TorchFunctionMode):
    """Makes tensors on the simulated device where that is asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "to" and args and isinstance(args[0], Tensor):
            return move(*args, **kwargs)
        if _is_there(kwargs.get("device")):
            made = func(*args, **{**kwargs, "device": HERE})
            return there(made) if isinstance(made, Tensor) else made
        return func(*args, **kwargs)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Tensors may be moved to `DEVICE` and made there."""
    with _Elsewhere():
        yield


def move_model(model: nn.Module) -> None:
    """Move a model's parameters and buffers to the simulated device, in place."""
    moved: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                new = nn.Parameter(there(parameter.data), requires_grad=parameter.requires_grad)
                module._parameters[name] = moved.setdefault(id(parameter), new)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = there(buffer)


REST = dict.fromkeys(["model.embed_tokens", "model.layers.0", "model.rotary_emb", "model.norm", "lm_head"], "cpu")


def divide_in_two(model: PreTrainedModel) -> None:
    """Put the second layer on the simulated device, with the hooks that Accelerate gives a model on two devices.

    Call it within `elsewhere`.
    """
    places = {**dict.fromkeys(REST, HERE), "model.layers.1": DEVICE}
    if hasattr(model.model, "increments"):
        places["model.increments"] = HERE
    move_model(model.model.layers[1])
    # The tensors are in their places; to the simulated device, only `move_model` can move them.
    with (
        patch.object(nn.Module, "to", lambda module, *args, **kwargs: module),
        patch.object(hooks, "set_module_tensor_to_device", lambda *args, **kwargs: None),
    ):
        hooks.attach_align_device_hook_on_blocks(
            model, execution_device={"": HERE, **places}, offload=dict.fromkeys(places, False)
        )


def divided(model: PreTrainedModel, folder: Path, how: str) -> nn.Module:
    """A model whose second layer, or all of which, waits on disk or in memory until it is called."""
    if how == "second layer on disk":
        places = {**REST, "model.layers.1": "disk"}
        if hasattr(model.model, "increments"):
            places["model.increments"] = "disk"
        return dispatch_model(model, places, main_device="cpu", offload_dir=str(folder), force_hooks=True)
    if how == "all on disk":
        return disk_offload(model, str(folder), execution_device=torch.device("cpu"))
    return cpu_offload(model, execution_device=torch.device("cpu"))

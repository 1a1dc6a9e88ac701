"""Gradients of positions under reentrant gradient checkpointing.

Reentrant checkpointing runs a layer without a graph, runs it again during the backward pass, and returns gradients
through the layer's positional arguments only; but cosines and sines are keyword arguments. So the layer gets copies
of them, detached, and the gradients that the copies collect return to the graph where the backward pass leaves the
layer through its positional argument. (Without `use_reentrant`, Transformers' default, none of this is needed.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def is_reentrant(layer: nn.Module) -> bool:
    """Whether a decoder layer is about to run under reentrant gradient checkpointing."""
    if not (getattr(layer, "gradient_checkpointing", False) and layer.training and torch.is_grad_enabled()):
        return False
    return bool(getattr(layer._gradient_checkpointing_func, "keywords", {}).get("use_reentrant"))


def lead_gradients_through(hidden_states: Tensor, tensors: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Let the gradients of a layer's keyword tensors return through the hidden states.

    Args:
        hidden_states: The positional argument of the first layer that uses the tensors.
        tensors: Cosines and sines, or whatever else depends on positions.

    Returns:
        Both, to be passed to the layer; later layers may get the tensors as well.
    """
    copies = tuple(tensor.detach().requires_grad_() for tensor in tensors)
    return _Return.apply(hidden_states, copies, *tensors), copies


class _Return(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_states: Tensor, copies: tuple[Tensor, ...], *originals: Tensor) -> Tensor:
        ctx.copies = copies
        return hidden_states.view_as(hidden_states)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        gradients = [copy.grad for copy in ctx.copies]
        for copy in ctx.copies:
            copy.grad = None  # a second backward pass collects them anew
        return gradient, None, *gradients

"""Attention weights of layers, and the residual stream that enters them, recorded during a forward pass.

Hooks and the interception of PyTorch's attention act only in the thread that asked for them and do not change the
model, so other threads may run it at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from howfar.positions.decoder import find_decoder
from howfar.positions.encodings.attending import PREFIX


@dataclass
class Watched:
    """Recordings of the latest forward pass, by decoder layer.

    Attributes:
        residuals: The residual stream that enters the layer, `[window, token, width]`.
        attention: Attention weights, `[window, head, query, key]`.
        visible: Which keys a query may attend to, bool, broadcasts to `attention`'s shape.
    """

    residuals: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)
    visible: dict[int, Tensor] = field(default_factory=dict)


@contextmanager
def watch(model: nn.Module, layers: tuple[int, ...], *, attention: bool, residuals: bool) -> Iterator[Watched]:
    """Watch a model's forward passes in this thread.

    Args:
        model: A model with rotary positions.
        layers: The decoder layers to watch; with `attention`, they must have attention.
        attention: Whether to keep attention weights. PyTorch's fused attention does not return them, so they are
            computed separately. Any other fused attention (flash, flex) is replaced by the eager one while the
            block runs; meanwhile other threads should not use such a model.
        residuals: Whether to keep the residual stream that enters each layer.
    """
    watched = Watched()
    decoder = find_decoder(model)
    with ExitStack() as stack:
        if residuals:
            for layer in layers:
                stack.enter_context(_keep_residual(decoder.layers[layer], layer, watched))
        if attention:
            stack.enter_context(_readable_attention(decoder.module))
            seen = stack.enter_context(_FusedAttention())
            for layer in layers:
                for handle in _keep_attention(decoder.layers[layer], layer, watched, seen):
                    stack.enter_context(handle)
        yield watched


@contextmanager
def ends_at(model: nn.Module, layer: int) -> Iterator[None]:
    """End the forward pass, and the `with` block, at a layer, as soon as its increments are known."""

    def end(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _EndOfPass

    with _hook(find_decoder(model).layers[layer].register_forward_pre_hook, end), suppress(_EndOfPass):
        yield


class _EndOfPass(Exception):  # noqa: N818
    """Raised to end a forward pass early."""


def _hook(register: Callable[..., RemovableHandle], function: Callable[..., None]) -> RemovableHandle:
    """Register a hook that acts in this thread only."""
    thread = threading.get_ident()

    # Another thread may run between here and PyTorch's note that the hook takes keyword arguments.
    def hook(*args: Any) -> None:
        if threading.get_ident() == thread:
            function(*args)

    return register(hook, with_kwargs=True)


def _keep_residual(module: nn.Module, layer: int, watched: Watched) -> RemovableHandle:
    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        watched.residuals[layer] = args[0] if args else kwargs["hidden_states"]

    return _hook(module.register_forward_pre_hook, keep)


def _keep_attention(
    decoder_layer: nn.Module, layer: int, watched: Watched, fused: _FusedAttention
) -> tuple[RemovableHandle, RemovableHandle]:
    module = next(module for module in decoder_layer.children() if "Attention" in type(module).__name__)

    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        fused.seen = None

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if fused.seen is not None:
            watched.attention[layer], watched.visible[layer] = fused.seen
        else:
            watched.attention[layer] = output[1]
            watched.visible[layer] = _visible(kwargs.get("attention_mask"), output[1])

    return _hook(module.register_forward_pre_hook, begin), _hook(module.register_forward_hook, keep)


class _FusedAttention(TorchFunctionMode):
    """Computes the weights that PyTorch's fused attention does not return, as Transformers' eager attention does.

    Attributes:
        seen: The latest call's weights and which keys were visible.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: tuple[Tensor, Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.seen = _weights(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """Attention weights and visible keys; the arguments are those of PyTorch's function."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones_like(scores[:1, :1], dtype=torch.bool).tril()
    visible = torch.ones_like(scores[:1, :1], dtype=torch.bool) if attn_mask is None else _visible(attn_mask, scores)
    lowest = torch.finfo(scores.dtype).min
    if attn_mask is not None and attn_mask.dtype != torch.bool:
        scores = scores + attn_mask
    scores = scores.masked_fill(~visible, lowest)
    return scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype), visible


def _visible(mask: Any, weights: Tensor) -> Tensor:
    """Which keys a query may attend to, from a boolean or additive mask; causal if there is none."""
    if not isinstance(mask, Tensor):
        return torch.ones_like(weights[:1, :1], dtype=torch.bool).tril()
    visible = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    return visible[..., : weights.shape[-1]]


@contextmanager
def _readable_attention(decoder: Any) -> Iterator[None]:
    """Switch a model to an attention function that exposes its weights."""
    before = decoder.config._attn_implementation
    prefix = PREFIX if before.startswith(PREFIX) else ""
    if before.removeprefix(prefix) in ("eager", "sdpa") or "sdpa" in before:
        yield
        return
    decoder.set_attn_implementation(f"{prefix}eager")
    try:
        yield
    finally:
        decoder.set_attn_implementation(before)

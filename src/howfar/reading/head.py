"""A causal language model's logits, one slice of tokens at a time, so that any vocabulary size fits in memory.

The decoder runs once. The model's own `forward` then runs once for each slice, with a stand-in for the decoder that
returns this slice of its output. So everything that an architecture does around its output layer (scaling, softcapping,
a bias) still happens in its own code.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from howfar.errors import UnsupportedModelError
from howfar.models.unwrapping import unwrap
from howfar.positions.attachment import check_is_model
from howfar.positions.decoder import input_device
from howfar.positions.shapes import Float, Int

Part = Callable[[Tensor], Tensor]
"""Selects some tokens of a tensor `[window, token, ...]`."""
TokenIndices = Sequence[int] | Sequence[Sequence[int]]
"""Indices of tokens: one in each window, or several."""


def logits_of_parts(model: nn.Module, tokens: Int[Tensor, "window token"], parts: Sequence[Part]) -> Iterator[Tensor]:
    """Run a model once and give its logits part by part.

    Args:
        model: A causal language model. If its decoder is not found, all logits are computed at once.
        tokens: Its input.
        parts: Functions that each select some tokens of the decoder's output.

    Yields:
        Each part's logits, `[window, token, vocabulary]`, which the caller may overwrite.

    Raises:
        UnsupportedModelError: The model does not predict tokens.
    """
    base = inner_model(model)
    if base is None:
        logits = _checked(model, model(input_ids=tokens, use_cache=False), tokens)
        if logits.shape[1] != tokens.shape[1]:
            raise UnsupportedModelError(
                f"{type(model).__name__} reads {logits.shape[1]} tokens but was given {tokens.shape[1]}, "
                "as adapters with virtual tokens do; use a model without them"
            )
        yield from (part(logits) for part in parts)
        return
    if base.get_output_embeddings() is None:
        raise _predicts_nothing(base)
    stand_in = _StandIn(base.base_model, parts)
    # A copy that shares everything with the model except its decoder, so that other threads do not see the stand-in.
    with_stand_in: Any = object.__new__(type(base))
    with_stand_in.__dict__.update(vars(base))
    with_stand_in._modules = {**base._modules, base.base_model_prefix: stand_in}
    with_stand_in._compiled_call_impl = None
    call = type(base).forward if "forward" in vars(base) else type(base).__call__
    for _ in parts:
        yield _checked(base, call(with_stand_in, input_ids=tokens, use_cache=False), tokens)


def innermost(model: nn.Module) -> PreTrainedModel:
    """The Transformers model inside compiled, parallel and adapter wrappers; the model itself if there is none."""
    check_is_model(model)
    try:
        return unwrap(model)
    except UnsupportedModelError:  # running it will show whether it can be read
        return cast(PreTrainedModel, model)


def readable(model: nn.Module) -> PreTrainedModel:
    """As `innermost`, for a model whose weights are there.

    Raises:
        UnsupportedModelError: It still waits for its weights, on the meta device.
    """
    inner = innermost(model)
    if input_device(model).type == "meta":
        raise UnsupportedModelError(
            f"this {type(model).__name__} is on the meta device, without the values of its weights; load it by "
            "howfar.load, or load its weights first"
        )
    return inner


def inner_model(model: nn.Module) -> PreTrainedModel | None:
    """As `innermost`, if its decoder can be run apart from its output layer; else None."""
    model = innermost(model)
    if not isinstance(model, PreTrainedModel):
        return None
    # Hooks on the whole model must see all of its logits at once. Accelerate's hooks are on its parts too.
    replaced = "forward" in vars(model) and not hasattr(model, "_hf_hook")
    hooked = model._forward_pre_hooks or model._forward_hooks
    return None if replaced or hooked or model.base_model_prefix not in model._modules else model


class _StandIn(nn.Module):
    """Stands in for a decoder: runs it once, and returns one part of its output at each call."""

    def __init__(self, decoder: nn.Module, parts: Sequence[Part]) -> None:
        super().__init__()
        self._run: list[nn.Module] = [decoder]  # in a list, so that it is not a submodule
        self._parts = iter(parts)
        self._output: Any = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self._output is None:
            self._output = self._run[0](*args, **kwargs)
        part = next(self._parts)
        if isinstance(self._output, tuple):
            return (part(self._output[0]), *self._output[1:])
        output = copy.copy(self._output)
        output["last_hidden_state"] = part(self._output["last_hidden_state"])
        return output


def _checked(model: nn.Module, output: Any, tokens: Tensor) -> Tensor:
    logits = getattr(output, "logits", None)
    if logits is None or logits.ndim != 3 or logits.shape[-1] <= int(tokens.max()):
        raise _predicts_nothing(model)
    return cast(Tensor, logits)


def _predicts_nothing(model: nn.Module) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{type(model).__name__} does not predict the next token of a text; "
        "load it as a causal language model (AutoModelForCausalLM)"
    )


def surprisal_and_entropy(
    logits: Float[Tensor, "window token vocabulary"], following: Int[Tensor, "window token"]
) -> tuple[Float[Tensor, "window token"], Float[Tensor, "window token"]]:
    """Surprisal of the token that follows each token, and entropy of its prediction, in nats.

    Args:
        logits: Overwritten if they are float32; one more tensor of their size is allocated.
        following: The tokens that follow.

    Returns:
        Both float32.
    """
    logits = logits.float()
    logits -= logits.amax(dim=-1, keepdim=True)
    of_following = logits.gather(-1, following[..., None].to(logits.device)).squeeze(-1)
    weights = logits.exp()
    total = weights.sum(dim=-1)
    log_total = total.log()
    logits.clamp_(min=torch.finfo(torch.float32).min)  # minus infinity times a weight of 0 is NaN
    return log_total - of_following, log_total - weights.mul_(logits).sum(dim=-1) / total


def slices(num_tokens: int, length: int) -> list[Part]:
    """Slices of `length` tokens that together cover `num_tokens`."""

    def from_(start: int) -> Part:
        return lambda tensor: tensor[:, start : start + length]

    return [from_(start) for start in range(0, num_tokens, length)]


def after(places: TokenIndices) -> Part:
    """Selects one token of each window, or several, by their indices in the window."""
    index = torch.tensor(list(places)).reshape(len(places), -1)
    return lambda tensor: tensor[torch.arange(len(index))[:, None], index]

"""Merge PEFT's layers into a model's weights, all or none, and take them out of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from howfar.errors import CheckpointError
from howfar.foreign import first_line
from howfar.models.unwrapping import tuners
from howfar.models.verification import output_of
from howfar.positions.mode import evaluation_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def merge(model: PreTrainedModel) -> None:
    """Merge a model's adapters into its weights; they stay around them.

    Raises:
        CheckpointError: PEFT cannot merge one, or the model's output would change; all stay as they are.
    """
    from peft.utils.other import AuxiliaryTrainingWrapper

    layers = {n: layer for n, layer in tuners(model).items() if not isinstance(layer, AuxiliaryTrainingWrapper)}
    for name in _used_elsewhere(model, layers):
        if _changes(layers[name]):
            raise CheckpointError(
                f"merging would change the model's output: {type(model).__name__} uses the weight of {name} outside of "
                "this layer, where the adapter has no effect; keep the adapter, and save the model with it"
            )
    _merge(list(layers.values()))


def take_out(model: PreTrainedModel, *, trained: bool) -> None:
    """Put the layers that PEFT wrapped back into their places.

    Args:
        model: The model, with its adapters merged or not.
        trained: Whether layers that PEFT copied to train them stay as they were trained.
    """
    from peft.utils.other import AuxiliaryTrainingWrapper

    for name, layer in reversed(tuners(model).items()):  # a layer inside another first, while its name is right
        if isinstance(layer, AuxiliaryTrainingWrapper):
            own = layer.unload_and_optionally_merge_module(merge=trained, safe_merge=False, adapter_names=None)
        else:
            own = layer.get_base_layer()
        model.set_submodule(name, own)
    model._hf_peft_config_loaded = False  # Transformers sets it before PEFT may refuse
    vars(model).pop("peft_config", None)


def _merge(layers: Sequence[Any]) -> None:
    """Merge PEFT's layers into the weights, all or none."""
    merged = []
    try:
        for layer in layers:
            was_merged = layer.merged
            layer.merge(safe_merge=True)  # otherwise PEFT may refuse after it has changed the weight
            if not was_merged:
                merged.append(layer)
    except Exception as error:  # each kind of adapter refuses in its own way
        for layer in merged:
            layer.unmerge()
        raise CheckpointError(
            f"PEFT cannot merge this adapter ({first_line(error).rstrip('.')}); keep it, and save the model with it"
        ) from error


def _changes(layer: Any) -> bool:
    """Whether merging a layer changes its weights by more than rounding. They stay bit for bit."""
    if layer.merged:
        return False
    weights = [one for one in layer.get_base_layer().parameters(recurse=False) if one.is_floating_point()]
    before = [weight.detach().clone() for weight in weights]
    try:
        _merge([layer])
        pairs = zip(weights, before, strict=True)
        return any((now - then).abs().max() > 8 * torch.finfo(then.dtype).eps * then.abs().max() for now, then in pairs)
    finally:
        if layer.merged:
            layer.unmerge()
        for weight, values in zip(weights, before, strict=True):
            weight.data.copy_(values)


def _used_elsewhere(model: PreTrainedModel, layers: Mapping[str, Any]) -> list[str]:
    """The layers whose weights a model uses outside of them, where an adapter around the layer has no effect.

    This is observed in a pass over a few tokens, for example in a router that multiplies by its layer's weight itself.
    """
    watch = _Watch(layers)
    # A model that cannot run with its adapter has no output that could change.
    with suppress(Exception), evaluation_mode(model), watch.running(), watch:
        output_of(model)
    return sorted(watch.found)


class _Watch(TorchFunctionMode):
    """Notes the layers whose weights any torch function turns into tensors while the layer does not run."""

    def __init__(self, layers: Mapping[str, Any]) -> None:
        super().__init__()
        self.layers, self.inside, self.found = layers, list[str](), set[str]()
        self.names: dict[int, list[str]] = {}  # PEFT may wrap a module several times, once for each of its tensors
        for name, layer in layers.items():
            for weight in layer.get_base_layer().parameters(recurse=False):
                self.names.setdefault(id(weight), []).append(name)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Follow which layers run, for a while."""

        def enters(name: str) -> Callable[..., None]:
            return lambda *_: self.inside.append(name)

        with ExitStack() as stack:
            for name, layer in self.layers.items():
                stack.enter_context(layer.register_forward_pre_hook(enters(name)))
                stack.enter_context(layer.register_forward_hook(lambda *_: self.inside.pop() and None))
            yield

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor | tuple | list) and not isinstance(result, torch.Size):
            given = [*args, *(kwargs or {}).values()]
            given += [value for values in given if isinstance(values, tuple | list) for value in values]
            for names in filter(None, (self.names.get(id(value)) for value in given)):
                if not set(names) & set(self.inside):
                    self.found.update(names)
        return result

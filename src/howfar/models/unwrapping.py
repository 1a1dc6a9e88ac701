"""From any wrapper to the Transformers model inside, and to the names of its own parameters."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from howfar.errors import CheckpointError, UnsupportedModelError
from howfar.positions.attachment import check_is_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_INCREMENTS = "increments"
_INSIDE = ("base_layer", "original_module", "token_adapter")
"""PEFT's name for a module that it wrapped."""


def unwrap(model: nn.Module) -> PreTrainedModel:
    """The Transformers model inside compiled, parallel and PEFT wrappers.

    Raises:
        UnsupportedModelError: There is none, or a PEFT wrapper has its own weights (prompts, prefixes).
    """
    from transformers import PreTrainedModel

    if isinstance(model, PreTrainedModel):
        return model
    check_is_model(model)
    from accelerate.utils import extract_model_from_parallel

    inside, outside = model, None
    while inside is not outside:
        outside = inside
        inside = _without_peft(extract_model_from_parallel(inside, keep_torch_compile=False))
    if not isinstance(inside, PreTrainedModel):
        raise UnsupportedModelError(
            f"a {type(model).__name__} holds no Transformers model; give the model itself, without its wrapper"
        )
    return inside


def _without_peft(model: nn.Module) -> nn.Module:
    peft = sys.modules.get("peft")  # if it was not imported, it has wrapped nothing
    if peft is None or not isinstance(model, (peft.PeftModel, peft.PeftMixedModel)):
        return model
    prompts = [name for name, config in model.peft_config.items() if config.is_prompt_learning]
    if prompts:
        raise UnsupportedModelError(
            f"the adapter {prompts[0]!r} is a prompt beside the model, which a graft cannot hold; save it with PEFT's "
            "save_pretrained"
        )
    return cast(nn.Module, model.get_base_model())


def tuners(model: nn.Module) -> dict[str, Any]:
    """PEFT's layers and wrappers inside a model, by name."""
    if "peft" not in sys.modules:
        return {}
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def own_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's tensors without increments and adapters, by their names before anything was wrapped.

    Args:
        model: The model.
        tensors: Its tensors by their present names, from `named_parameters()`, `named_buffers()` or `state_dict()`.
    """
    wrapped = tuners(model).keys()
    own = {name: _own_name(name, wrapped) for name in tensors}
    return {name: tensors[key] for key, name in own.items() if name is not None}


def learned_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A model's parameters, and its table of increments if it has one, by their present names."""
    yield from model.named_parameters()
    yield from ((name, table) for name, table in model.named_buffers() if is_increment(name))


def uncompiled_name(name: str) -> str:
    """A module's or tensor's name in the model before parts of it were compiled."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def is_increment(name: str) -> bool:
    """Whether a parameter belongs to an increment network."""
    return _INCREMENTS in name.split(".")


def increment_tensors(network: nn.Module) -> dict[str, Tensor]:
    """An increment network's parameters without an adapter's, by their names in the network."""
    wrapped = tuners(network).keys()
    named = {_own_name(name, wrapped): value for name, value in network.named_parameters()}
    return {name: value for name, value in named.items() if name is not None}


def _own_name(name: str, wrapped: Container[str]) -> str | None:
    """A parameter's name before anything was wrapped; None for increments and adapters."""
    parts, own = name.split("."), []
    for index, part in enumerate(parts):
        if part == _INCREMENTS:
            return None
        if ".".join(parts[:index]) in wrapped:
            if part not in _INSIDE:
                return None  # an adapter's
        elif part != "_orig_mod":  # a part of the model that was compiled separately
            own.append(part)
    return ".".join(own)


def check_in_memory(model: nn.Module) -> None:
    """Refuse a model if this process does not hold all its tensors.

    Raises:
        CheckpointError: It is sharded or offloaded.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise CheckpointError(
                f"{name} is not in memory but offloaded, so it cannot be saved from here; load the model without "
                "device_map and offloading, and save that"
            )
        if type(tensor).__name__ == "DTensor" or name.rpartition(".")[2].startswith("_flat_param"):
            raise CheckpointError(
                f"{name} is sharded over processes, so no process holds all of it; gather the model's state first "
                "(Accelerate's get_state_dict) and load it into an unsharded model"
            )


def check_sharing(model: PreTrainedModel) -> None:
    """Refuse a model with one tensor in two places of which its configuration says nothing: one place would be lost.

    Raises:
        CheckpointError: Its output layer was tied to the embedding after it was loaded, or its layers share weights.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in own_tensors(model, dict(model.named_parameters(remove_duplicate=False))).items():
        names.setdefault(id(tensor), []).append(name)
    tied = model.get_expanded_tied_weights_keys(all_submodels=True)
    for places in names.values():
        if len(untold := [name for name in places if name not in tied]) < 2:
            continue
        advice = "give each its own, module.weight = torch.nn.Parameter(module.weight.detach().clone())"
        if any(name in (getattr(model, "_tied_weights_keys", None) or ()) for name in untold):
            advice = "to tie them, set model.config.tie_word_embeddings = True and call model.tie_weights()"
        raise CheckpointError(
            f"{untold[0]} and {untold[1]} are one tensor, but the model's configuration does not tie them; {advice}"
        )

"""LoRA adapters inside a model, by PEFT; the model stays the Transformers model that it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from howfar.errors import CheckpointError, ConfigError, MissingExtraError
from howfar.models.tensors import copy_tensors, read_tensors

if TYPE_CHECKING:
    from types import ModuleType

    from transformers import PreTrainedModel

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of every name in PEFT's files


def add_lora(model: PreTrainedModel, options: Mapping[str, Any]) -> None:
    """Put a fresh adapter around a model's linear layers and freeze everything else.

    Add it before the increments, which it would else be put around as well.

    Args:
        model: The base model.
        options: Those of `peft.LoraConfig`; all linear layers but the output's are adapted unless they say otherwise.

    Raises:
        ConfigError: PEFT refuses an option.
        MissingExtraError: PEFT is not installed.
    """
    peft = _peft()
    try:
        config = peft.LoraConfig(task_type="CAUSAL_LM", **{"target_modules": "all-linear", **options})
        _inject(model, config)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[lora] is refused by PEFT ({' '.join(str(error).split())}); change it") from error


def has_lora(model: PreTrainedModel) -> bool:
    """Whether a model has an adapter inside."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def load_lora(model: PreTrainedModel, folder: Path) -> None:
    """Put the adapter that lies in a folder into a model, just as it was saved.

    Raises:
        CheckpointError: Its files are damaged or made for another model.
        MissingExtraError: PEFT is not installed.
    """
    if not (folder / ADAPTER_CONFIG).is_file():  # PEFT would look for it on the Hub
        raise CheckpointError(f"{folder / ADAPTER_CONFIG} is missing; save or download the graft again")
    peft = _peft()
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
        config.inference_mode = False  # it decides which parameters are trainable; the caller does
        _inject(model, config)
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the adapter in {folder} does not fit {type(model).__name__} ({' '.join(str(error).split())}); use "
            "files that belong together"
        ) from error
    read_lora(model, folder)


def read_lora(model: PreTrainedModel, folder: Path) -> None:
    """Set a model's adapter to the one that a folder holds.

    Raises:
        CheckpointError: The file is damaged, or made for another adapter.
    """
    path = folder / ADAPTER_WEIGHTS
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in read_tensors(path).items()}
    copy_tensors(lora_parameters(model), tensors, path)


def save_lora(model: PreTrainedModel, folder: Path, base: str) -> None:
    """Write a model's adapter as PEFT does, so that `PeftModel.from_pretrained` reads it.

    Args:
        model: A model with an adapter inside.
        folder: Where to.
        base: What the file says is the base model.
    """
    from safetensors.torch import save_file

    config = model.peft_config[model.active_adapters()[0]]
    config.base_model_name_or_path = base
    config.save_pretrained(str(folder))
    tensors = {_PREFIX + name: tensor.detach().contiguous() for name, tensor in lora_parameters(model).items()}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


def merge_lora(model: PreTrainedModel) -> None:
    """Add a model's adapter to its weights and take it away; increments stay as they are.

    The model computes the same, up to rounding, and is then saved with all its weights.

    Raises:
        MissingExtraError: PEFT is not installed.
    """
    _peft()
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
    if has_lora(model):
        model._hf_peft_config_loaded = False
        del model.peft_config


def lora_parameters(model: PreTrainedModel) -> dict[str, Tensor]:
    """An adapter's parameters, by their names in PEFT's files (without the prefix)."""
    return {name.replace(".default", ""): value for name, value in model.named_parameters() if ".lora_" in name}


def _inject(model: PreTrainedModel, config: Any) -> None:
    model.add_adapter(config)
    for parameter in lora_parameters(model).values():
        parameter.data = parameter.data.float()  # as PEFT does: in half precision small updates would be lost


def _peft() -> ModuleType:
    try:
        import peft
    except ImportError:
        raise MissingExtraError("LoRA needs the package peft; install it with `pip install 'howfar[lora]'`") from None
    return peft

"""LoRA and other PEFT adapters inside a model; the model keeps its Transformers class."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from howfar.errors import CheckpointError, ConfigError, HowFarError, MissingExtraError
from howfar.foreign import first_line
from howfar.imports import import_extra
from howfar.inputs import read_json
from howfar.models.description import Adapter
from howfar.models.disguise import GRAFT_FILE, PEFT_FILES, AdapterFiles, adapter_files
from howfar.models.merging import merge, take_out
from howfar.models.tensors import copy_tensors, read_tensors
from howfar.models.unwrapping import is_increment, tuners, unwrap
from howfar.models.verification import output_of
from howfar.positions.mode import evaluation_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from howfar.models.origin import Base

_PREFIX = "base_model.model."  # of every name in PEFT's files


def add_lora(model: PreTrainedModel, options: Mapping[str, Any]) -> None:
    """Add a new adapter around a model's linear layers and freeze everything else.

    Add it before the increments; an adapter that is added later can wrap their networks too.

    Args:
        model: The base model.
        options: Options of `peft.LoraConfig`; by default all linear layers except the output layer are adapted.

    Raises:
        ConfigError: PEFT refuses an option, a graft cannot hold what it trains, a rank is larger than any layer, or the
            model does not run with the adapter. The model stays as it was.
        MissingExtraError: PEFT is not installed, or too old for the installed Transformers.
    """
    peft = _peft()
    with _or_as_it_was(model):
        try:
            config = peft.LoraConfig(task_type="CAUSAL_LM", **{"target_modules": "all-linear", **options})
            _inject(model, config, "default")
            adapter_of(model)  # what a graft cannot hold is refused before it is trained
        except HowFarError as error:
            raise ConfigError(f"[lora] cannot be used: {error}; change it") from error
        except Exception as error:  # whatever PEFT and PyTorch raise for a value
            raise ConfigError(f"PEFT refuses [lora] ({first_line(error)}); change it") from error
        try:
            with evaluation_mode(model):
                output_of(model)
        except Exception as error:  # a module that PEFT took for an ordinary layer
            raise ConfigError(
                f"[lora] cannot be used: {type(model).__name__} does not run with this adapter ({first_line(error)}); "
                'name the layers to adapt, for example target_modules = ["q_proj", "v_proj"]'
            ) from error


@contextmanager
def _or_as_it_was(model: PreTrainedModel) -> Iterator[None]:
    """If adding an adapter in the block fails, leave the model without it."""
    is_new, trainable = not tuners(model), {p: p.requires_grad for p in model.parameters()}
    try:
        yield
    except ConfigError:
        if is_new:
            take_out(model, trained=False)
            for parameter, value in trainable.items():
                parameter.requires_grad_(value)
        raise


def adapter_of(model: PreTrainedModel) -> Adapter | None:
    """The adapter inside a model; None if there is none.

    Raises:
        CheckpointError: A graft cannot save it: there are several adapters, or the one is merged, disabled, trains
            biases of the model, or keeps a part of itself outside the model.
    """
    layers = tuners(model)
    if not layers:
        return None
    names = sorted(getattr(model, "peft_config", {}))
    if len(names) != 1:
        raise CheckpointError(
            f"the model has {len(names)} adapters ({', '.join(map(repr, names))}) but a graft holds one; delete the "
            "others (delete_adapter), or merge them with howfar.merge_lora(model)"
        )
    if getattr(model.peft_config[names[0]], "bias", "none") != "none":
        raise CheckpointError(
            f"the adapter {names[0]!r} also trains biases of the model, which a graft cannot hold; "
            'train it with bias="none", or call howfar.merge_lora(model), which removes it'
        )
    from peft import PEFT_TYPE_TO_TUNER_MAPPING

    kind = model.peft_config[names[0]].peft_type
    if PEFT_TYPE_TO_TUNER_MAPPING[kind].uses_shared_state:
        raise CheckpointError(
            f"the adapter {names[0]!r} is of PEFT's type {kind.value}, which keeps a part of itself in the wrapper "
            "around the model, and a graft cannot hold that; train another type (LoRA), or call "
            "howfar.merge_lora(model), which removes it"
        )
    for layer in layers.values():
        if getattr(layer, "merged", False):
            raise CheckpointError(
                f"the adapter {names[0]!r} is merged into the weights but not removed; unmerge it, or call "
                "howfar.merge_lora(model), which removes it"
            )
        if layer.disable_adapters or names[0] not in layer.active_adapters:
            raise CheckpointError(
                f"the adapter {names[0]!r} is disabled; enable it (set_adapter, enable_adapters), or delete it"
            )
    return Adapter(names[0], any(map(is_increment, layers)))


def is_adapter(path: Path) -> bool:
    """Whether a folder holds only an adapter, as PEFT and Transformers save one."""
    return (path / PEFT_FILES.config).is_file() and not any((path / f).exists() for f in ("config.json", GRAFT_FILE))


def base_of_adapter(folder: Path) -> tuple[str, str | None]:
    """The name of an adapter's base model, and its revision on the Hub; None for the newest.

    Raises:
        CheckpointError: Its configuration cannot be read, or names no base model.
    """
    path = folder / PEFT_FILES.config
    try:
        values = read_json(path)
        name, revision = values["base_model_name_or_path"], values.get("revision")
        if not isinstance(revision, str | None):
            raise ValueError(f"revision is {revision!r}, not text")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({first_line(error)}); save the adapter again") from None
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{folder} holds only a PEFT adapter, not a whole model; load its base model and add it with "
            f"peft.PeftModel.from_pretrained, or name the base as base_model_name_or_path in {path}"
        )
    if Path(name).resolve() == folder.resolve():
        raise CheckpointError(f"{path} names its own folder as the base model; name the model that was adapted")
    return name, revision or None


def load_lora(model: PreTrainedModel, folder: Path, name: str = "default") -> None:
    """Add the adapter in a folder to a model, exactly as it was saved.

    Args:
        model: The base model; with increments if the adapter is around them.
        folder: The adapter's folder.
        name: Its name in PEFT.

    Raises:
        CheckpointError: Its files are damaged or made for another model.
        MissingExtraError: PEFT is not installed, or too old for the installed Transformers.
    """
    path = folder / adapter_files(folder).config
    if not path.is_file():  # PEFT would search the Hub
        raise CheckpointError(f"{path} is missing; save or download the graft again")
    peft = _peft()
    try:
        values = {name: value for name, value in read_json(path).items() if name != "runtime_config"}
        config = peft.PeftConfig.from_peft_type(**peft.PeftConfig.check_kwargs(**values))
        config.inference_mode = False  # it sets which parameters are trainable; the caller decides that
        _inject(model, config, name)
    except Exception as error:  # whatever PEFT and PyTorch raise for a damaged or foreign configuration
        raise CheckpointError(
            f"the adapter in {folder} does not fit {type(model).__name__} ({first_line(error)}); "
            "name the model that it was trained for"
        ) from error
    read_lora(model, folder)


def read_lora(model: PreTrainedModel, folder: Path) -> None:
    """Set a model's adapter to the values in a folder.

    Raises:
        CheckpointError: The file is damaged or made for another adapter.
    """
    path = folder / adapter_files(folder).weights
    tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in read_tensors(path).items()}
    if any(map(is_increment, tensors)) and not any(map(is_increment, dict(model.named_parameters()))):
        raise CheckpointError(
            f"{path} holds increments, but PEFT does not store their kind; save the model again with "
            "howfar.save(model, folder)"
        )
    copy_tensors(lora_parameters(model), tensors, path)


def save_lora(model: PreTrainedModel, folder: Path, base: Base, files: AdapterFiles = PEFT_FILES) -> None:
    """Write a model's adapter in PEFT's format; by these names `PeftModel.from_pretrained` reads it.

    Args:
        model: A model with an adapter inside.
        folder: Folder to write to.
        base: The base model, whose name and revision the file gives.
        files: Names of its files.
    """
    from safetensors.torch import save_file

    config = copy.copy(next(iter(model.peft_config.values())))
    config.base_model_name_or_path, config.revision = base.name, base.revision
    config.save_pretrained(str(folder))
    (folder / PEFT_FILES.config).rename(folder / files.config)
    tensors = {_PREFIX + name: tensor.detach().clone() for name, tensor in lora_parameters(model).items()}
    save_file(tensors, folder / files.weights, metadata={"format": "pt"})


def merge_lora(model: nn.Module) -> None:
    """Merge a model's adapters into its weights and remove them. Increments that no adapter wraps stay as they are.

    The model's output stays the same up to rounding. Saving the model then writes all its weights.

    Args:
        model: A model with an adapter inside, or wrapped by PEFT. Afterwards use the inner model (`get_base_model()`).

    Raises:
        CheckpointError: PEFT cannot merge an adapter of this kind, or the output would change; all adapters stay as
            they are.
        MissingExtraError: PEFT is not installed, or too old for the installed Transformers.
    """
    _peft()
    inside = unwrap(model)
    merge(inside)
    take_out(inside, trained=True)


def lora_parameters(model: PreTrainedModel) -> dict[str, Tensor]:
    """An adapter's parameters, by their names in PEFT's files (without the prefix)."""
    from peft import get_peft_model_state_dict

    (name,) = model.peft_config
    parameters: dict[str, Tensor] = get_peft_model_state_dict(
        model, state_dict=model.state_dict(keep_vars=True), adapter_name=name, save_embedding_layers=False
    )
    return parameters


def _inject(model: PreTrainedModel, config: Any, name: str) -> None:
    from peft.tuners.tuners_utils import cast_adapter_dtype

    _check_ranks(model, config)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        model.add_adapter(config, name)
    cast_adapter_dtype(model, name)  # in half precision small updates would be lost


def _check_ranks(model: PreTrainedModel, config: Any) -> None:
    """Refuse a rank larger than any layer, before memory is allocated for it."""
    widest = max((min(module.weight.shape) for module in model.modules() if isinstance(module, nn.Linear)), default=1)
    for rank in (getattr(config, "r", 1), *(getattr(config, "rank_pattern", None) or {}).values()):
        if not isinstance(rank, int) or not 0 < rank <= widest:
            raise CheckpointError(
                f"rank r is {rank!r}; it must be a whole number from 1 to the widest layer's {widest}"
            )


def _peft() -> Any:
    """PEFT, in a version that the installed Transformers works with."""
    import transformers
    from transformers.integrations.peft import MIN_PEFT_VERSION
    from transformers.utils import check_peft_version

    peft = import_extra("peft", "LoRA", extra="lora")
    try:
        check_peft_version(MIN_PEFT_VERSION)
    except ValueError as error:
        raise MissingExtraError(
            f"Transformers {transformers.__version__} works with PEFT {MIN_PEFT_VERSION} or newer, and "
            f"{peft.__version__} is installed; in the clone of howfar, run: pip install -c constraints.txt '.[lora]'"
        ) from error
    return peft

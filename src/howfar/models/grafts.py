"""Grafts on disk: increments, and everything else that was trained, for a base model stored elsewhere.

A graft is a folder with

- `howfar.json`: the base model (name, revision, fingerprint), the increments' configuration, the type of the weights,
  the adapter's name, and every setting in which the model differs from its base;
- `increments.safetensors`: the increments' networks;
- `howfar_adapter_config.json`, `howfar_adapter.safetensors`: a PEFT adapter, if the base was trained with LoRA;
- `config.json`: by its type Transformers knows that this is a graft; with the base's configuration in it if
- `model.howfar.safetensors` is there: all weights, if the base's own have changed (the base is then not needed);
- `training_counts.safetensors`: how often each token was trained on, if known;
- the base's tokenizer, a model card, `training.json` if this package trained it, and the list of its files.

Weights and adapters of baselines, which have no increments, have the names that Transformers and PEFT expect.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from howfar.errors import CheckpointError, ConfigError, ModelNotFoundError
from howfar.models.configuration import HowFarConfig
from howfar.models.description import Description, read_description
from howfar.models.disguise import GRAFT_FILE, OWN_FILES, PEFT_FILES, VARIANT, write_disguise
from howfar.models.fingerprint import base_parameters, fingerprint
from howfar.models.folders import find_model
from howfar.models.graft_card import write_card
from howfar.models.increments import increment_config, read_increments, save_increments, short_name
from howfar.models.lora import adapter_of, load_lora, read_lora, save_lora
from howfar.models.origin import Base, base_of, origin_of
from howfar.models.pretrained import load_pretrained, read_pretrained_config
from howfar.models.quiet import quiet_transformers
from howfar.models.settings import changed_settings
from howfar.models.tensors import copy_tensors, read_tensors
from howfar.models.unwrapping import check_in_memory, is_increment, own_tensors, unwrap
from howfar.positions import IncrementConfig, attach
from howfar.positions.attachment import positions_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

COUNTS_FILE = "training_counts.safetensors"


def is_graft(model: PreTrainedModel) -> bool:
    """Whether a model has increments or an adapter besides its own weights."""
    return increment_config(model) is not None or adapter_of(unwrap(model)) is not None


def save_graft(model: PreTrainedModel, folder: Path, *, whole: bool | None = None) -> Description:
    """Write a graft; `howfar.json` comes last, so a folder that has it is complete.

    Args:
        model: A pretrained model with increments, an adapter, or both.
        folder: Folder to write to; made if it is missing.
        whole: Whether to write the base's own weights too. If None: if they differ from the base's, which
            is found by loading the base again.

    Raises:
        CheckpointError: The model has an adapter around changed weights, or of a kind that a graft cannot hold; or part
            of it is not in memory.
        ModelNotFoundError: The model's origin is not known.
    """
    from safetensors.torch import save_file

    model = unwrap(model)
    check_in_memory(model)
    moved = positions_of(model)
    if moved is not None and moved.encoding.name != "rotary" and getattr(model.config, "encoding", None) is None:
        raise CheckpointError(
            f"the positions of this {type(model).__name__} reach attention by {moved.encoding.name!r}, which a graft "
            "does not record; train a model with it from scratch, with a recipe's table [encoding]"
        )
    base, adapter, origin = base_of(model), adapter_of(model), origin_of(model)
    whole = (origin.whole or _is_changed(model, base)) if whole is None else whole
    if whole and adapter:
        raise CheckpointError(
            "the model has a LoRA adapter around weights that are not its base model's; "
            "call howfar.merge_lora(model) first"
        )
    if whole and base.revision is None:
        base = replace(base, name=Path(base.name).name)  # its old place is of no use to others
    generation = changed_settings(model.generation_config, origin.generation) if origin.generation else {}
    description = Description(
        base=base,
        whole=whole,
        dtype=str(model.dtype).removeprefix("torch."),
        increments=increment_config(model),
        adapter=adapter,
        settings={} if whole or origin.config is None else changed_settings(model.config, origin.config),
        generation_settings={} if whole else generation,
    )
    folder.mkdir(parents=True, exist_ok=True)
    if description.increments is not None:
        save_increments(model, folder)
    if adapter:
        save_lora(model, folder, base, PEFT_FILES if description.is_plain else OWN_FILES)
    if whole:
        save_whole(model, folder, variant=None if description.is_plain else VARIANT)
    if not description.is_plain:
        write_disguise(folder, model.config.get_text_config().vocab_size)
    if origin.counts is not None:
        save_file({"counts": origin.counts}, folder / COUNTS_FILE)
    write_card(folder, description)
    description.write(folder)
    return description


def save_whole(model: PreTrainedModel, folder: Path, *, variant: str | None = None) -> None:
    """Write a model's own weights and configuration as Transformers does; increments only for a model from scratch.

    Args:
        model: The model.
        folder: Folder to write to.
        variant: A part of the weights' file names; None for the usual names.
    """
    tensors = model.state_dict()
    if not isinstance(model.config, HowFarConfig):
        tensors = own_tensors(model, tensors)
    with quiet_transformers():
        model.save_pretrained(folder, state_dict=tensors, variant=variant)


def load_graft(
    folder: Path,
    *,
    dtype: torch.dtype | str | None = None,
    download: Mapping[str, Any] | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Rebuild the exact model that was saved.

    Args:
        folder: A folder that `save_graft` wrote.
        dtype: Type of the weights; if None or `"auto"`, the saved type. Increments are always float32.
        download: Options of `huggingface_hub.snapshot_download`, for the base.
        **options: Passed to Transformers' `from_pretrained`.

    Returns:
        The model, in eval mode.

    Raises:
        CheckpointError: A file is damaged, tensors are missing or left over, or the base is not the model that was
            grafted.
        ModelNotFoundError: The base model cannot be found.
        MissingExtraError: The graft has a LoRA adapter, and PEFT is not installed or too old.
    """
    description = read_description(folder)
    if dtype in (None, "auto"):
        dtype = description.dtype
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    model = _load_base(folder, description, dtype, download, options)
    adapter = description.adapter
    if adapter and not adapter.around_increments:
        load_lora(model, folder, adapter.name)
    if description.increments is not None:
        attach(model, description.increments)
        read_increments(model, folder)
    if adapter and adapter.around_increments:
        load_lora(model, folder, adapter.name)
    if adapter and description.increments is not None:  # Transformers saves the adapter alone; its base is this graft
        model.peft_config[adapter.name].base_model_name_or_path = str(folder)
    if (folder / COUNTS_FILE).is_file():
        origin_of(model).counts = _read_counts(folder / COUNTS_FILE)
    return model.eval()


def _read_counts(path: Path) -> Tensor:
    counts = read_tensors(path).get("counts")
    if counts is None or counts.ndim != 1 or counts.dtype != torch.int64:
        raise CheckpointError(f"{path} holds no count for each token; save the graft again, or remove the file")
    return counts


def attach_saved(model: PreTrainedModel, folder: Path) -> None:
    """Attach the increments that Transformers saved with a model (`save_pretrained`, Trainer's `save_model`), if any.

    Args:
        model: The model loaded from the folder, without its increments.
        folder: Holds the increments among the other weights, and their kind in `config.json`.

    Raises:
        CheckpointError: `config.json` names increments, but they are missing or do not fit.
    """
    options = getattr(model.config.get_text_config(), "increments", None)
    if isinstance(model.config, HowFarConfig) or options is None:
        return
    try:
        attach(model, IncrementConfig.from_dict(options))
    except ConfigError as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from None
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= {short_name(name): tensor for name, tensor in read_tensors(path).items() if is_increment(name)}
    parameters = {short_name(name): value for name, value in model.named_parameters() if is_increment(name)}
    copy_tensors(parameters, tensors, folder)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Set everything trained in a model to the values in a folder, to continue from a checkpoint.

    Args:
        model: Prepared like the saved one: with its increments and its adapter.
        folder: A folder that `save_graft` wrote.

    Raises:
        CheckpointError: A file is damaged or does not fit.
    """
    description = read_description(folder)
    if description.base.fingerprint != base_of(model).fingerprint:
        raise CheckpointError(
            f"{folder} is a graft of another base model than {base_of(model).name}; choose another output folder, or "
            "the base that the run started with"
        )
    if description.whole:
        saved = load_pretrained(folder, dtype=model.dtype)
        copy_tensors(base_parameters(model), base_parameters(saved), folder)
    if description.adapter:
        read_lora(model, folder)
    if description.increments is not None:
        read_increments(model, folder)


def _load_base(
    folder: Path,
    description: Description,
    dtype: torch.dtype,
    download: Mapping[str, Any] | None,
    options: dict[str, Any],
) -> PreTrainedModel:
    base = description.base
    if description.whole:
        model = load_pretrained(folder, is_listed=True, dtype=dtype, **options)
        origin = origin_of(model)
        origin.base, origin.whole = base, True
        return model
    try:
        path = find_model(base.name, revision=base.revision, download=download)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"the base model of the graft in {folder} is missing: {error}; if it has moved, write its place as "
            f"base.name in {folder / GRAFT_FILE}"
        ) from error
    config = read_pretrained_config(path)
    if description.settings:
        options = {**options, "config": type(config).from_dict({**config.to_dict(), **description.settings})}
    model = load_pretrained(path, dtype=dtype, **options)
    if not _is_base(model, path, base, config):
        raise CheckpointError(
            f"{path} is not the model that was grafted in {folder}: its fingerprint is "
            f"{fingerprint(model, config)[:12]}, not the needed {base.fingerprint[:12]}; name the right one as "
            f"base.name in {folder / GRAFT_FILE}"
        )
    origin = origin_of(model)
    origin.base, origin.config, origin.generation = base, config, copy.deepcopy(model.generation_config)
    if description.generation_settings:
        model.generation_config.update(**description.generation_settings)
    return model


def _is_base(model: PreTrainedModel, path: Path, base: Base, config: PretrainedConfig | None = None) -> bool:
    """Whether a model that was just loaded is a graft's base.

    Float32 weights that are loaded as float16 have another fingerprint, so the files are also read in the type that the
    graft may have been made in.
    """
    if fingerprint(model, config) == base.fingerprint:
        return True
    other = torch.float32 if model.dtype == torch.float16 else torch.float16
    return fingerprint(load_pretrained(path, dtype=other), config) == base.fingerprint


def _is_changed(model: PreTrainedModel, base: Base) -> bool:
    """Whether a model's own weights differ from its base's; also true if the base is gone."""
    try:
        path = find_model(base.name, revision=base.revision)
    except ModelNotFoundError:
        return True
    original = load_pretrained(path, dtype=model.dtype)
    if not _is_base(original, path, base):  # another model is stored there now
        return True
    own, theirs = base_parameters(model), base_parameters(original)
    return own.keys() != theirs.keys() or any(
        not torch.equal(parameter.cpu(), theirs[name]) for name, parameter in own.items()
    )

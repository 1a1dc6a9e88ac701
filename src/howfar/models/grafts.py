"""Grafts on disk: increments, and whatever else was trained, for a base model that lies elsewhere.

A graft is a folder with

- `howfar.json`: the base model (name, revision, fingerprint), the increments' configuration, the type of the weights;
- `increments.safetensors`: the increments' networks;
- `adapter_config.json`, `adapter_model.safetensors`: a PEFT adapter, where the base was trained by LoRA;
- `config.json`, `model.safetensors`: all weights, where the base's own were changed (the base is then not needed);
- `training_counts.safetensors`: how often each token was trained on, where that is known;
- the base's tokenizer, a model card, and `training.json` where it was trained by this package.
"""

from __future__ import annotations

import json
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from howfar.errors import CheckpointError, ConfigError, ModelNotFoundError, NoIncrementsError
from howfar.models.fingerprint import base_name, base_parameters, fingerprint, is_added
from howfar.models.folders import find_model, revision_of
from howfar.models.graft_card import write_card
from howfar.models.lora import ADAPTER_CONFIG, has_lora, load_lora, read_lora, save_lora
from howfar.models.pretrained import load_pretrained, quiet_transformers
from howfar.models.tensors import copy_tensors, read_tensors
from howfar.positions import IncrementConfig, attach, increments_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GRAFT_FILE = "howfar.json"
INCREMENTS_FILE = "increments.safetensors"
COUNTS_FILE = "training_counts.safetensors"
FORMAT = "howfar-graft"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Base:
    """The pretrained model that a graft is for.

    Attributes:
        name: A Hub id, a folder or a GGUF file.
        revision: The commit on the Hub; None for a local one.
        fingerprint: Of its weights before any training, from `fingerprint`.
    """

    name: str
    revision: str | None
    fingerprint: str


_bases: weakref.WeakKeyDictionary[nn.Module, Base] = weakref.WeakKeyDictionary()
_counts: weakref.WeakKeyDictionary[nn.Module, Tensor] = weakref.WeakKeyDictionary()


def remember_base(model: PreTrainedModel, name: str | Path | None, path: Path) -> None:
    """Note where a model came from, while its weights are still those of its files.

    Args:
        model: Just loaded.
        name: What it was asked for by.
        path: Where its files are.
    """
    revision = revision_of(path)
    _bases[model] = Base(str(name) if revision else str(path.resolve()), revision, fingerprint(model))


def base_of(model: PreTrainedModel) -> Base:
    """The pretrained model that a model was made from.

    Raises:
        ModelNotFoundError: It came from no folder or Hub id.
    """
    if model not in _bases:
        if not model.name_or_path:
            raise ModelNotFoundError(
                f"this {type(model).__name__} came from no folder or Hub id, so a graft of it could not be loaded "
                "again; save its base model first and load it by howfar.load"
            )
        remember_base(model, model.name_or_path, find_model(model.name_or_path))
    return _bases[model]


def training_counts(model: PreTrainedModel) -> Tensor | None:
    """How often each token was trained on; int64 `[vocabulary]`, or None where that is not known."""
    return _counts.get(model)


def remember_training_counts(model: PreTrainedModel, counts: Tensor) -> None:
    """Note how often each token was trained on, to be saved with the model; int64 `[vocabulary]`."""
    _counts[model] = counts


def save_graft(model: PreTrainedModel, folder: Path, *, whole: bool | None = None) -> None:
    """Write a graft; `howfar.json` comes last, so a folder that has it is complete.

    Args:
        model: A pretrained model with increments, a LoRA adapter, or both.
        folder: Where to; made if it is missing.
        whole: Whether to write the base's own weights too. Where None they are if they are no longer the base's, which
            is found by loading it again.

    Raises:
        CheckpointError: It has an adapter around changed weights.
        ModelNotFoundError: Where the model came from is not known.
    """
    from safetensors.torch import save_file

    base, adapted = base_of(model), has_lora(model)
    whole = _is_changed(model, base) if whole is None else whole
    if whole and adapted:
        raise CheckpointError(
            "the model has a LoRA adapter around weights that are not its base model's; "
            "call howfar.merge_lora(model) first"
        )
    folder.mkdir(parents=True, exist_ok=True)
    config = _increment_config(model)
    if config is not None:
        tensors = {name: tensor.detach().contiguous() for name, tensor in _increment_parameters(model).items()}
        save_file(tensors, folder / INCREMENTS_FILE)
    if adapted:
        save_lora(model, folder, base.name)
    if whole:
        own = {base_name(name): tensor for name, tensor in model.state_dict().items() if not is_added(name)}
        with quiet_transformers():
            model.save_pretrained(folder, state_dict=own)
    if (counts := training_counts(model)) is not None:
        save_file({"counts": counts}, folder / COUNTS_FILE)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "base": asdict(base),
        "whole": whole,
        "dtype": str(model.dtype).removeprefix("torch."),
        "increments": None if config is None else config.to_dict(),
        "lora": adapted,
    }
    write_card(folder, description)
    (folder / GRAFT_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def load_graft(folder: Path, *, dtype: torch.dtype | str | None = None, **options: Any) -> PreTrainedModel:
    """Rebuild the exact model that was saved.

    Args:
        folder: One that `save_graft` wrote.
        dtype: Type of the weights; that which it was saved in where None or `"auto"`. Increments are float32 always.
        **options: Those of Transformers' `from_pretrained`.

    Returns:
        The model, in eval mode.

    Raises:
        CheckpointError: A file is damaged, tensors are missing or left over, or the base is another model than that
            which was grafted.
        ModelNotFoundError: The base model cannot be found.
        MissingExtraError: The graft has a LoRA adapter and PEFT is not installed.
    """
    description = read_description(folder)
    dtype = description["dtype"] if dtype in (None, "auto") else dtype
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    model = _load_base(folder, description, dtype, options)
    if _has_adapter(folder, description):
        load_lora(model, folder)
    if description["increments"] is not None:
        attach(model, IncrementConfig.from_dict(description["increments"]))
        read_increments(model, folder)
    if (folder / COUNTS_FILE).is_file():
        _counts[model] = read_tensors(folder / COUNTS_FILE)["counts"]
    return model.eval()


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Set all that was trained in a model to what a folder holds: to go on from a checkpoint.

    Args:
        model: Prepared as the one that was saved: with its increments, its adapter.
        folder: One that `save_graft` wrote.

    Raises:
        CheckpointError: A file is damaged, or does not fit.
    """
    description = read_description(folder)
    if description["whole"]:
        saved = load_pretrained(folder, dtype=model.dtype)
        copy_tensors(dict(base_parameters(model)), dict(base_parameters(saved)), folder)
    if _has_adapter(folder, description):
        read_lora(model, folder)
    if description["increments"] is not None:
        read_increments(model, folder)


def read_increments(model: PreTrainedModel, folder: Path) -> None:
    """Set a model's increments to those that a folder holds.

    Raises:
        CheckpointError: The file is damaged, or made for others.
    """
    path = folder / INCREMENTS_FILE
    copy_tensors(_increment_parameters(model), read_tensors(path), path)


def read_description(folder: Path) -> dict[str, Any]:
    """Read a graft's `howfar.json`.

    Raises:
        CheckpointError: It is missing, damaged, or of another version.
    """
    path = folder / GRAFT_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        if description["format"] != FORMAT or not isinstance(getattr(torch, description["dtype"]), torch.dtype):
            raise ValueError("it does not describe a graft")
        Base(**description["base"])
        version = description["format_version"]
        if description["increments"] is not None:
            IncrementConfig.from_dict(description["increments"])
        bool(description["whole"])
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error}); name a folder that `howfar graft` wrote"
        ) from None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this howfar reads {FORMAT_VERSION}; install the one that wrote it"
        )
    return dict(description)


def _has_adapter(folder: Path, description: dict[str, Any]) -> bool:
    """Whether a graft has a LoRA adapter; the first ones did not say so."""
    return bool(description.get("lora")) or (folder / ADAPTER_CONFIG).is_file()


def _load_base(
    folder: Path, description: dict[str, Any], dtype: torch.dtype, options: dict[str, Any]
) -> PreTrainedModel:
    base = Base(**description["base"])
    if description["whole"]:
        model = load_pretrained(folder, dtype=dtype, **options)
        _bases[model] = base
        return model
    try:
        path = find_model(base.name, revision=base.revision)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"the base model of the graft in {folder} is missing: {error}; if it lies elsewhere now, say where as "
            f"base.name in {folder / GRAFT_FILE}"
        ) from error
    # Rounding float32 to float16 would hide whether it is the right one, so that is done afterwards.
    model = load_pretrained(path, dtype=torch.float32 if dtype == torch.float16 else dtype, **options)
    if (found := fingerprint(model)) != base.fingerprint:
        raise CheckpointError(
            f"{path} is not the model that was grafted in {folder}: its fingerprint is {found[:12]}, the graft needs "
            f"{base.fingerprint[:12]}; name the right one as base.name in {folder / GRAFT_FILE}"
        )
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    _bases[model] = base
    return model


def _is_changed(model: PreTrainedModel, base: Base) -> bool:
    """Whether a model's own weights are no longer those of its base; also where the base is gone."""
    try:
        path = find_model(base.name, revision=base.revision)
    except ModelNotFoundError:
        return True
    original = dict(base_parameters(load_pretrained(path, dtype=model.dtype)))
    own = dict(base_parameters(model))
    return own.keys() != original.keys() or any(
        not torch.equal(parameter.cpu(), original[name]) for name, parameter in own.items()
    )


def _increment_config(model: PreTrainedModel) -> IncrementConfig | None:
    try:
        return increments_of(model).config
    except NoIncrementsError:
        return None


def _increment_parameters(model: PreTrainedModel) -> dict[str, Tensor]:
    """Parameters of a model's increments, by names that do not depend on its architecture."""
    increments = increments_of(model)
    names = ["shared"] if increments.config.scope == "shared" else [f"layers.{i}" for i in increments.layer_indices]
    return {
        f"{name}.{parameter}": value
        for name, network in zip(names, increments.networks, strict=True)
        for parameter, value in network.named_parameters()
    }

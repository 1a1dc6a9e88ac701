"""Load a model by name, ready for analysis; save one completely or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from howfar.errors import (
    CheckpointError,
    ConfigError,
    HowFarError,
    ModelNotFoundError,
    OutputError,
    UnsupportedModelError,
)
from howfar.files import refused_by_name, whole_folder
from howfar.foreign import first_line
from howfar.models.bundled import DEFAULT_NAME
from howfar.models.configuration import HowFarConfig
from howfar.models.devices import find_device
from howfar.models.disguise import GRAFT_FILE
from howfar.models.folders import find_model
from howfar.models.graft_card import CARD, is_edited
from howfar.models.grafts import attach_saved, is_graft, load_graft, save_graft, save_whole
from howfar.models.increments import INCREMENTS_FILE
from howfar.models.lora import adapter_of, base_of_adapter, is_adapter, load_lora
from howfar.models.manifest import names_beside, verified, write_manifest
from howfar.models.origin import base_of, origin_of, remember_base
from howfar.models.pretrained import load_pretrained, load_tokenizer
from howfar.models.tensors import check_finite
from howfar.models.unwrapping import check_in_memory, check_sharing, learned_tensors, unwrap
from howfar.models.verification import check_saved
from howfar.text import marks
from howfar.text.tokenizer import VOCABULARY_SIZE, byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WITHOUT_NAN = "go back to weights from before that, or train again with a lower learning rate"


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    attn_implementation: str | Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """Load a model, ready for analysis: in eval mode, and by default in float32 or, for a graft, its saved type.

    Nothing is unpickled and no code from a checkpoint is run.

    Args:
        name_or_path: None for the bundled default model, the name of a bundled model, a folder (a model of ours, a
            graft, or any Transformers causal language model), a GGUF file, or a Hub id.
        device: Device to load it to; if None, the CPU.
        dtype: Type of its weights; `"auto"` for the file's. Increments are always float32.
        device_map: Transformers' map of the model's parts to devices, or `"auto"`, which fills them one after another;
            a map that offloads parts is refused.
        attn_implementation: Transformers' name of an attention function, for example `"eager"`; or such names by part.

    Returns:
        The model; `tokenizer_of` finds its tokenizer.

    Raises:
        ModelNotFoundError: The model does not exist, or the Hub cannot be reached.
        CheckpointError: Its files are damaged, pickled, or do not fit together; or `device_map` offloads a part.
        ConfigError: PyTorch has no such device or type of weights, or both a device and a map are given.
    """
    if device is not None and device_map is not None:
        raise ConfigError("device and device_map are both given; give one of them")
    where = None if device is None else find_device(device)
    given = {"dtype": dtype, "device_map": device_map, "attn_implementation": attn_implementation}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    model = load_at(name_or_path, **options)
    return model.eval() if where is None else model.to(where).eval()


def load_at(
    name_or_path: str | Path | None,
    *,
    revision: str | None = None,
    download: Mapping[str, Any] | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Load a model, as `load` does.

    Args:
        name_or_path: As for `load`.
        revision: Branch, tag or commit on the Hub; if None, the newest. A base has the one that its graft or adapter
            names.
        download: Options of `huggingface_hub.snapshot_download`, for the model and for the base of a graft or adapter.
        **options: Passed to Transformers' `from_pretrained`.

    Raises:
        ModelNotFoundError: The model does not exist, or the Hub cannot be reached.
        CheckpointError: Its files are damaged, pickled, or do not fit together.
        ConfigError: PyTorch has no such type of weights.
    """
    dtype = options.get("dtype")
    if isinstance(dtype, str) and dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ConfigError(f"dtype is {dtype!r}, which is no type of PyTorch's; give 'float32', 'bfloat16' or 'auto'")
    path = find_model(name_or_path, revision=revision, download=download)
    if (path / GRAFT_FILE).is_file():
        with verified(path):
            model = load_graft(path, download=download, **options)
    elif (path / INCREMENTS_FILE).exists():
        raise CheckpointError(f"{path / GRAFT_FILE} is missing; save or download the graft again")
    elif is_adapter(path):
        base, base_revision = base_of_adapter(path)
        model = load_at(base, revision=base_revision, download=download, **options)
        if adapter_of(model):
            raise CheckpointError(
                f"{path} holds an adapter alone, and its base {base} has one already; save a graft with its adapter by "
                "howfar.save(model, folder)"
            )
        load_lora(model, path)
        return model.eval()  # it uses its base's tokenizer
    else:
        model = load_pretrained(path, **{"dtype": torch.float32, **options})
        remember_base(model, name_or_path, path)
        attach_saved(model, path)
    model.name_or_path = model.config._name_or_path = DEFAULT_NAME if name_or_path is None else str(name_or_path)
    return model


def save(model: nn.Module, folder: str | Path) -> None:
    """Write a model to a folder, with its tokenizer if known; completely or not at all.

    The files are loaded again and compared with the model, bit for bit, before they replace the folder.

    Args:
        model: Any causal language model, with increments, an adapter, both or neither; compiled, or wrapped by PEFT or
            for several devices, too.
        folder: A new folder, or one that holds nothing but a model that this saved before; this is
            then replaced, but a README.md that you wrote stays.

    Raises:
        CheckpointError: The model cannot be saved completely; the message says why.
        ModelNotFoundError: It has increments, and its base came from no folder or Hub id.
        OutputError: The folder holds anything else, or cannot be written.
        UnsupportedModelError: There is no causal language model inside.
    """
    folder, model = Path(folder), unwrap(model)
    can_generate: Any = model.can_generate
    if not can_generate():
        raise UnsupportedModelError(
            f"{type(model).__name__} does not predict the next token of a text; give the causal language model that it "
            "is a part of"
        )
    with refused_by_name(folder):
        others = names_beside(folder) if folder.is_dir() else []
        if others:
            raise OutputError(
                f"{folder} holds {others[0]}, which saving there would delete; choose another folder, or move it away"
            )
        if is_graft(model) and folder.exists() and _is_base(folder, model):
            raise OutputError(f"{folder} holds the base model, which a graft needs; choose another folder")
    with whole_folder(folder, replace=True) as partial:
        _write(model, partial)
        if is_edited(folder):
            shutil.copy2(folder / CARD, partial)
        write_manifest(partial)
        check_saved(model, partial, load)


def _write(model: PreTrainedModel, folder: Path) -> None:
    check_in_memory(model)
    check_sharing(model)
    check_finite(learned_tensors(model), f"the {type(model).__name__} to save", advice=_WITHOUT_NAN)
    try:
        is_ours = isinstance(model.config, HowFarConfig)
        if is_ours and adapter_of(model):
            raise CheckpointError(
                "the model has an adapter, which only a graft can hold; call howfar.merge_lora(model) first"
            )
        (save_graft if is_graft(model) and not is_ours else save_whole)(model, folder)
    except (ValueError, RuntimeError) as error:  # Transformers refuses some settings, PyTorch some tensors
        if isinstance(error, HowFarError):
            raise
        raise CheckpointError(
            f"the model cannot be saved ({first_line(error)}); change what Transformers refuses"
        ) from error
    with suppress(CheckpointError, ModelNotFoundError):  # it came from no folder or Hub, or has no tokenizer
        tokenizer_of(model).save_pretrained(folder)


def _is_base(folder: Path, model: PreTrainedModel) -> bool:
    """Whether a model's base is in a folder; a base on the Hub is not looked for."""
    with suppress(ModelNotFoundError):
        base = Path(base_of(model).name).expanduser()
        return base.exists() and base.samefile(folder)
    return False


def tokenizer_of(model: nn.Module) -> PreTrainedTokenizerBase:
    """A model's tokenizer: the byte tokenizer for models of ours, else the one in its folder.

    Args:
        model: A model from `load`, or any that knows its folder or Hub id (`model.name_or_path`).

    Raises:
        ModelNotFoundError: The model came from no folder or Hub id.
        CheckpointError: It has no tokenizer.
    """
    origin = origin_of(model)
    if origin.tokenizer is None:
        origin.tokenizer = _find_tokenizer(unwrap(model))
    return origin.tokenizer


def choose_mark(model: nn.Module, mark: int | str | None = None) -> str | None:
    """Choose the document mark of a model, if one is given.

    Args:
        model: A model whose tokenizer `tokenizer_of` finds.
        mark: As for `howfar.text.marks.choose_mark`; None to keep the mark.

    Returns:
        The mark; None if it is the usual one (see `unusual_mark`).

    Raises:
        TextError: The model's tokenizer has no such token.
        ModelNotFoundError: The model was not loaded from a folder or the Hub.
        CheckpointError: It came without a tokenizer.
    """
    tokenizer = tokenizer_of(model)
    if mark is not None:
        marks.choose_mark(tokenizer, mark)
    return marks.unusual_mark(tokenizer)


def _find_tokenizer(model: PreTrainedModel) -> PreTrainedTokenizerBase:
    if isinstance(model.config, HowFarConfig) and model.config.vocab_size == VOCABULARY_SIZE:
        return byte_tokenizer()
    name = model.name_or_path
    if not name:
        raise ModelNotFoundError(
            f"this {type(model).__name__} came from no folder or Hub id, so its tokenizer is unknown; pass one"
        )
    base = origin_of(model).base
    revision = base.revision if base is not None and base.name == name else None
    try:
        return load_tokenizer(find_model(name, revision=revision))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; or pass one in Python") from error

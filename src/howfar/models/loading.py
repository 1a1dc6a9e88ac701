"""Load a model by name, ready for analysis; save one whole or not at all."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from howfar.errors import CheckpointError, HowFarError, ModelNotFoundError, NoIncrementsError, OutputError
from howfar.files import whole_folder
from howfar.models.bundled import DEFAULT_NAME
from howfar.models.configuration import HowFarConfig
from howfar.models.folders import find_model
from howfar.models.grafts import GRAFT_FILE, load_graft, remember_base, save_graft
from howfar.models.manifest import verified, write_manifest
from howfar.models.pretrained import load_pretrained, load_tokenizer, quiet_transformers
from howfar.positions import increments_of
from howfar.text.tokenizer import VOCABULARY_SIZE, byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_tokenizers: weakref.WeakKeyDictionary[Any, PreTrainedTokenizerBase] = weakref.WeakKeyDictionary()


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """Load a model, ready for analysis: in eval mode; in float32, or as a graft was made, unless told otherwise.

    Nothing is unpickled and no code from a checkpoint is run.

    Args:
        name_or_path: None for the bundled default model, the name of a bundled model, a folder (a model of ours, a
            graft, or any Transformers causal language model), a GGUF file, or a Hub id.
        device: Where to put it; the CPU where None.
        dtype: Type of its weights; `"auto"` for that of the file. Increments are float32 always.
        attn_implementation: Transformers' name of an attention function, such as `"eager"`.

    Returns:
        The model; `tokenizer_of` finds its tokenizer.

    Raises:
        ModelNotFoundError: There is no such model, or the Hub cannot be asked.
        CheckpointError: Its files are damaged, pickled, or do not fit together.
    """
    path = find_model(name_or_path)
    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    with verified(path):
        if (path / GRAFT_FILE).is_file():
            model = load_graft(path, **options)
        else:
            model = load_pretrained(path, **{"dtype": torch.float32, **options})
            remember_base(model, name_or_path, path)
    model.name_or_path = model.config._name_or_path = DEFAULT_NAME if name_or_path is None else str(name_or_path)
    return model.eval() if device is None else model.to(device).eval()


def save(model: PreTrainedModel, folder: str | Path) -> None:
    """Write a model to a folder, with its tokenizer where it is known; whole or not at all.

    Args:
        model: Any causal language model, with increments or without.
        folder: A new folder, or one that a model was saved to before, which is then replaced.

    Raises:
        OutputError: The folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not _is_replaceable(folder):
        raise OutputError(f"{folder} exists and is not just a saved model; choose another folder")
    with whole_folder(folder, replace=True) as partial:
        with quiet_transformers():
            _write(model, partial)
        write_manifest(partial)


def _write(model: PreTrainedModel, folder: Path) -> None:
    if model.config.model_type != HowFarConfig.model_type and _has_increments(model):
        save_graft(model, folder)
    else:
        model.save_pretrained(folder)
    try:
        tokenizer_of(model).save_pretrained(folder)
    except HowFarError:  # a model that came from no folder or Hub
        return


def _has_increments(model: PreTrainedModel) -> bool:
    try:
        increments_of(model)
    except NoIncrementsError:
        return False
    return True


def _is_replaceable(folder: Path) -> bool:
    """Say whether a folder is empty or holds what `save` writes; a run with its checkpoints is more than that."""
    if not folder.is_dir():
        return False
    entries = list(folder.iterdir())
    names = {entry.name for entry in entries}
    return not names or (bool(names & {"config.json", GRAFT_FILE}) and not any(entry.is_dir() for entry in entries))


def tokenizer_of(model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer that a model reads text by: the byte tokenizer for models of ours, else the one it came with.

    Args:
        model: A model from `load`, or any that knows its folder or Hub id (`model.name_or_path`).

    Raises:
        ModelNotFoundError: The model came from nowhere.
        CheckpointError: It came without a tokenizer.
    """
    if model not in _tokenizers:
        _tokenizers[model] = _find_tokenizer(model)
    return _tokenizers[model]


def _find_tokenizer(model: PreTrainedModel) -> PreTrainedTokenizerBase:
    if model.config.model_type == HowFarConfig.model_type and model.config.vocab_size == VOCABULARY_SIZE:
        return byte_tokenizer()
    name = model.name_or_path
    if not name:
        raise ModelNotFoundError(
            f"this {type(model).__name__} came from no folder or Hub id, so its tokenizer is unknown; pass one"
        )
    try:
        return load_tokenizer(find_model(name))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; pass one") from error

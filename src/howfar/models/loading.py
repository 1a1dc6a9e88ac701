"""Load a model by name, ready for analysis; save one whole or not at all."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from howfar.errors import CheckpointError, HowFarError, ModelNotFoundError, NoIncrementsError, OutputError
from howfar.models.bundled import DEFAULT_NAME
from howfar.models.folders import check_weights, find_folder, first_line, read_config
from howfar.models.modeling import HowFarConfig  # with its model registered for the Auto classes
from howfar.positions import increments_of
from howfar.text.tokenizer import VOCABULARY_SIZE, byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GRAFT_FILE = "howfar.json"
"""In a folder that holds a graft: increments (and what else was trained) for a base model that lies elsewhere."""

_tokenizers: weakref.WeakKeyDictionary[Any, PreTrainedTokenizerBase] = weakref.WeakKeyDictionary()


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """Load a model, ready for analysis: in eval mode, in float32 unless told otherwise.

    Nothing is unpickled and no code from a checkpoint is run.

    Args:
        name_or_path: None for the bundled default model, the name of a bundled model, a folder (a model of ours, a
            graft, or any Transformers causal language model), or a Hub id.
        device: Where to put it; the CPU where None.
        dtype: Type of its weights; `"auto"` for that of the file. Increments are float32 always.
        attn_implementation: Transformers' name of an attention function, such as `"eager"`.

    Returns:
        The model; `tokenizer_of` finds its tokenizer.

    Raises:
        ModelNotFoundError: There is no such model, or the Hub cannot be asked.
        CheckpointError: Its files are damaged, pickled, or do not fit together.
    """
    folder = find_folder(name_or_path)
    options: dict[str, Any] = {"dtype": torch.float32 if dtype is None else dtype}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    if (folder / GRAFT_FILE).is_file():
        from howfar.models.grafts import load_graft

        model = load_graft(folder, **options)
    else:
        model = load_whole(folder, **options)
    model.config._name_or_path = DEFAULT_NAME if name_or_path is None else str(name_or_path)
    return model.eval() if device is None else model.to(device).eval()


def load_whole(folder: Path, **options: Any) -> PreTrainedModel:
    """Load a folder that holds all of a model.

    Args:
        folder: With `config.json` and safetensors.
        **options: Those of Transformers' `from_pretrained`.

    Raises:
        CheckpointError: The files are damaged or pickled, need code of their own, or have tensors missing or left over.
    """
    model_type = read_config(folder).get("model_type")
    check_weights(folder)
    with _quiet_transformers():
        try:
            model, report = AutoModelForCausalLM.from_pretrained(
                str(folder), **options, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
        except HowFarError:
            raise
        except Exception as error:  # whatever Transformers makes of a damaged or foreign configuration
            raise CheckpointError(
                f"Transformers cannot build the model in {folder} (model_type {model_type!r}): {first_line(error)}"
            ) from error
    _check_complete(folder, model, report)
    return model


def _check_complete(folder: Path, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Transformers draws missing tensors at random and drops those left over; neither may pass unnoticed."""
    missing = sorted(report["missing_keys"])
    # Checkpoints of others may hold parts that a causal language model has no use for; increments are never such.
    left_over = sorted(
        key for key in report["unexpected_keys"] if model.config.model_type == "howfar" or ".increments." in key
    )
    wrong = [*(f"{name} is missing" for name in missing), *(f"{name} is left over" for name in left_over)]
    wrong += [f"{key[0] if isinstance(key, tuple) else key} has another shape" for key in report["mismatched_keys"]]
    if wrong:
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"the weights in {folder} do not fit its config.json: {wrong[0]}{others}; "
            "use the config.json that the weights were saved with"
        )


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
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
            new, old = Path(beside, "new"), Path(beside, "old")
            with _quiet_transformers():
                _write(model, new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"the model cannot be written to {folder} ({error}); choose another folder") from error


def _write(model: PreTrainedModel, folder: Path) -> None:
    if model.config.model_type != HowFarConfig.model_type and _has_increments(model):
        from howfar.models.grafts import save_graft

        save_graft(model, folder)
        return
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
    from transformers import AutoTokenizer

    name = model.name_or_path
    if not name:
        raise ModelNotFoundError(
            f"this {type(model).__name__} came from no folder or Hub id, so its tokenizer is unknown; pass one"
        )
    try:
        with _quiet_transformers():
            return AutoTokenizer.from_pretrained(str(find_folder(name)), trust_remote_code=False)
    except HowFarError:
        raise
    except Exception as error:
        raise CheckpointError(f"there is no tokenizer to be had with {name} ({first_line(error)}); pass one") from error


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Neither progress bars nor load reports: what they would say is checked here and raised."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

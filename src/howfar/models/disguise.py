"""Names and contents of a graft's files that keep other software from reading it without its increments.

Transformers and PEFT know a model's files by their names. If they found the base's configuration and weights, or an
adapter, under the usual names, they would load these and leave the increments out, and the output would be wrong. So
such a graft has a `config.json` of its own type, which only this package reads, with the base's configuration inside;
and its weights and its adapter have names of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

GRAFT_FILE = "howfar.json"
"""A graft's description; a folder that has it is a graft."""
GRAFT_TYPE = "howfar_graft"
"""`model_type` in a graft's `config.json`."""
GRAFT_CLASS = "HowFarGraftForCausalLM"
VARIANT = "howfar"
"""Transformers' word for a part of the weights' file names: `model.howfar.safetensors`."""
_BASE_CONFIG = "base_config"
_WEIGHTS = "transformers_weights"  # Transformers takes this entry for a file name, so its error quotes the note
_NOTE = "this is a graft of howfar: import howfar, then load it with AutoModelForCausalLM or howfar.load"


class AdapterFiles(NamedTuple):
    """Names of an adapter's files.

    Attributes:
        config: Its configuration, in PEFT's format.
        weights: Its weights.
    """

    config: str
    weights: str


PEFT_FILES = AdapterFiles("adapter_config.json", "adapter_model.safetensors")
OWN_FILES = AdapterFiles("howfar_adapter_config.json", "howfar_adapter.safetensors")


def adapter_files(folder: Path) -> AdapterFiles:
    """The names under which a graft's adapter is stored: PEFT's where PEFT may open it."""
    return OWN_FILES if any((folder / name).exists() for name in OWN_FILES) else PEFT_FILES


def write_disguise(folder: Path, vocabulary_size: int) -> None:
    """Write a graft's `config.json`; if the base's is there, put it inside.

    Args:
        folder: The graft's folder.
        vocabulary_size: Number of tokens; PEFT compares it to learn whether an adapter must hold the embeddings too.

    Raises:
        OSError: It cannot be written.
    """
    import transformers

    path = folder / "config.json"
    refusal = {_WEIGHTS: _NOTE}
    config: dict[str, Any] = {
        "architectures": [GRAFT_CLASS],
        "model_type": GRAFT_TYPE,
        "transformers_version": transformers.__version__,
        "vocab_size": vocabulary_size,
        **refusal,
    }
    if path.is_file():
        config[_BASE_CONFIG] = {**json.loads(path.read_text(encoding="utf-8")), **refusal}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def is_disguised(config: dict[str, Any]) -> bool:
    """Whether the contents of a `config.json` are those of a graft."""
    return config.get("model_type") == GRAFT_TYPE


def inside(config: dict[str, Any]) -> Any:
    """The base's configuration in a graft's `config.json`; None if there is none, and for other models."""
    base = config.get(_BASE_CONFIG) if is_disguised(config) else None
    return {name: value for name, value in base.items() if name != _WEIGHTS} if isinstance(base, dict) else base

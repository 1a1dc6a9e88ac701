"""A graft's `howfar.json`: base, increments, adapter, and the settings in which it differs from its base."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from howfar.errors import CheckpointError, ConfigError
from howfar.inputs import read_json
from howfar.models.disguise import GRAFT_FILE
from howfar.models.increments import INCREMENTS_FILE
from howfar.models.origin import Base
from howfar.positions import IncrementConfig

FORMAT = "howfar-graft"
SETTINGS_OF_TRAINER = ("use_cache", "bos_token_id", "eos_token_id", "pad_token_id")
"""Settings that Transformers' Trainer changes and that do not change what a model computes."""
FORMAT_VERSION = 3


@dataclass(frozen=True)
class Adapter:
    """A PEFT adapter inside a model.

    Attributes:
        name: Its name in PEFT.
        around_increments: Whether it also wraps increment networks, which must then be attached first.
    """

    name: str = "default"
    around_increments: bool = False


@dataclass(frozen=True)
class Description:
    """The parts of a graft.

    Attributes:
        base: The pretrained model that it belongs to.
        whole: Whether the base's own weights are stored in it.
        dtype: Type of those weights: PyTorch's name without `torch.`.
        increments: The kind of increments; None for a baseline with plain positions.
        adapter: The PEFT adapter stored in it, if there is one.
        settings: The entries of `config.json` in which it differs from its base.
        generation_settings: The same for `generation_config.json`.
    """

    base: Base
    whole: bool
    dtype: str
    increments: IncrementConfig | None
    adapter: Adapter | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    generation_settings: dict[str, Any] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether Transformers and PEFT read its files rightly without this package."""
        return self.increments is None and self.settings.keys() <= set(SETTINGS_OF_TRAINER)

    def write(self, folder: Path) -> None:
        """Write it, with a hash over everything except the base's location, which users may edit.

        Raises:
            OSError: It cannot be written.
        """
        values = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        values["sha256"] = _hash(values)
        (folder / GRAFT_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_description(folder: Path) -> Description:
    """Read a graft's `howfar.json`.

    Raises:
        CheckpointError: It is missing, damaged, or of another version.
    """
    path = folder / GRAFT_FILE
    try:
        values = read_json(path)
        if values["format"] != FORMAT:
            raise ValueError("it does not describe a graft")
        version = values["format_version"]
        if version == FORMAT_VERSION:
            return _description(folder, values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error}); name a folder that `howfar graft` wrote"
        ) from None
    raise CheckpointError(
        f"{path} has format version {version}, this howfar reads {FORMAT_VERSION}; install the one that wrote it"
    )


def _description(folder: Path, values: dict[str, Any]) -> Description:
    increments, adapter = values["increments"], values["adapter"]
    description = Description(
        base=Base(**values["base"]),
        whole=values["whole"],
        dtype=values["dtype"],
        increments=None if increments is None else IncrementConfig.from_dict(increments),
        adapter=None if adapter is None else Adapter(**adapter),
        settings=dict(values["settings"]),
        generation_settings=dict(values["generation_settings"]),
    )
    if not isinstance(getattr(torch, description.dtype), torch.dtype) or not isinstance(description.whole, bool):
        raise ValueError("it names no type of weights, or does not say whether all weights are there")
    if not all(isinstance(text, str) for text in (description.base.name, description.base.fingerprint)):
        raise ValueError("its base is not named")
    if increments is None and (folder / INCREMENTS_FILE).exists():
        raise ValueError(f"it says that there are no increments, and {INCREMENTS_FILE} holds some")
    if values["sha256"] != _hash(values):
        raise ValueError("it was damaged or changed; only the base's name and revision may be")
    return description


def _hash(values: dict[str, Any]) -> str:
    base = {name: value for name, value in values["base"].items() if name not in ("name", "revision")}
    content = {name: value for name, value in {**values, "base": base}.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

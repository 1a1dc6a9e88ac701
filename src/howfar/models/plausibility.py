"""Compare a configuration with the tensors beside it, before a model is built from the two.

Transformers trusts a configuration: it builds a million layers, or allocates all memory, and looks at the
weights afterwards. Each rule here is the least number of values in any model of these sizes; if the weights have
fewer, they belong to another model or the configuration is damaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from howfar.errors import CheckpointError

SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings")
"""Options that are a single number in every architecture."""
_ALIASES = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "max_position_embeddings": "n_positions"}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_MOST = 2**31
_PACKED = 8  # the most values in one element of quantised weights


class TensorHeader(NamedTuple):
    """A tensor's header in a safetensors file: its type in the format's own words, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def is_number(self) -> bool:
        """Whether it holds floating-point values."""
        return self.dtype.startswith(("F", "BF"))


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Check the types of the options that every configuration has.

    Args:
        config: A model's configuration.
        path: Its file.

    Raises:
        CheckpointError: A value has an impossible type.
    """
    architectures = config.get("architectures")
    if not (
        architectures is None or (isinstance(architectures, list) and all(isinstance(n, str) for n in architectures))
    ):
        raise _impossible(path, "architectures", architectures, "a list of names")
    if not isinstance(config.get("model_type", ""), str):
        raise _impossible(path, "model_type", config["model_type"], "a name")
    for part in (config, config.get("text_config") or {}):
        for name in SIZES:
            size = part.get(name) if isinstance(part, Mapping) else None
            if size is not None and (type(size) is not int or not 0 < size <= _MOST):
                raise _impossible(path, name, size, f"a whole number from 1 to {_MOST:,}")


def check_tensors(config: Mapping[str, Any], headers: Mapping[str, TensorHeader], folder: Path) -> None:
    """Check that weights are floating-point, and as many as a configuration needs.

    Args:
        config: A model's configuration.
        headers: The headers of all its tensors.
        folder: The model's folder.

    Raises:
        CheckpointError: A weight is an integer, or the configuration is that of a larger model.
    """
    quantized = "quantization_config" in config
    if not quantized:
        for name, header in headers.items():
            if _is_weight(name, header) and not header.is_number:
                raise CheckpointError(
                    f"{name} in {folder} is of type {header.dtype}, but the model is not quantised; "
                    "save or download the model again"
                )
    total = sum(math.prod(header.shape) for header in headers.values()) * (_PACKED if quantized else 1)
    text = config.get("text_config")
    for what, needed in _least(text if isinstance(text, dict) else config):
        if needed > total:
            raise CheckpointError(
                f"{folder / 'config.json'} asks for {what}, but the weights beside it have {total:,} values; use the "
                "weights and the configuration that belong together"
            )
    layers = _size(config, "num_hidden_layers")
    if layers > len(headers):
        raise CheckpointError(
            f"{folder / 'config.json'} asks for {layers:,} layers, but there are {len(headers):,} tensors; use the "
            "weights and the configuration that belong together"
        )


def _least(config: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The least number of values in a model of these sizes, with a description of each."""
    width, layers = _size(config, "hidden_size"), _size(config, "num_hidden_layers")
    vocabulary, inner = _size(config, "vocab_size"), _size(config, "intermediate_size")
    heads = _size(config, "num_attention_heads") * _size(config, "head_dim")
    experts = max(_size(config, name) for name in _EXPERTS)
    positions = _size(config, "n_positions")
    return [
        (f"a vocabulary of {vocabulary:,} at a width of {width:,}", vocabulary * width),
        (f"{layers:,} layers of {width:,} by {inner:,}", layers * width * inner),
        (f"{layers:,} layers of width {width:,}", layers * width),
        (f"heads of {heads:,} values at a width of {width:,}", heads * width),
        (f"{experts:,} experts at a width of {width:,}", experts * width),
        (f"{positions:,} positions at a width of {width:,}", positions * width if "n_embd" in config else 0),
    ]


def _size(config: Mapping[str, Any], name: str) -> int:
    """An option's value; 0 unless it is one whole number."""
    value = config.get(name, config.get(_ALIASES.get(name, name)))
    return value if type(value) is int and value > 0 else 0


def _is_weight(name: str, header: TensorHeader) -> bool:
    """Whether a tensor is trained; masks and indices in old files are not."""
    return name.endswith("weight") or (name.endswith("bias") and len(header.shape) == 1) or len(header.shape) == 3


def _impossible(path: Path, name: str, got: object, needed: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {name} is {str(got)[:80]!r}; it must be {needed}; save or download the model again"
    )

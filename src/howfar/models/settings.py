"""The settings in which a model differs from its base: saved with a graft, restored when it is loaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from howfar.positions.encodings.attending import PREFIX

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig

_NOT_SETTINGS = {
    "_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "quantization_config",
    "increments", "_from_model_config",
}  # fmt: skip
"""Entries that say where a model came from, or that are stored elsewhere."""


def changed_settings(config: PretrainedConfig | GenerationConfig, base: Any) -> dict[str, Any]:
    """The settings in which a configuration differs from its base's; None for those that only the base has.

    Args:
        config: A model's `config`, or its `generation_config`.
        base: The base's.
    """
    now, before = plain_settings(config), plain_settings(base)
    return {name: now.get(name) for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)}


def plain_settings(config: PretrainedConfig | GenerationConfig) -> dict[str, Any]:
    """A configuration as JSON values, without entries that are not settings."""
    return dict(_without(json.loads(json.dumps(config.to_dict(), default=str))))


def attention_of(config: PretrainedConfig) -> str | dict[str, Any]:
    """Transformers' name of a model's attention function; with those of its parts, by part, if it has several.

    Both are what `from_pretrained` takes as `attn_implementation`.
    """
    own = str(config._attn_implementation).removeprefix(PREFIX)
    parts = {name: getattr(config, name, None) for name in config.sub_configs}
    named = {name: attention_of(part) for name, part in parts.items() if part and part._attn_implementation}
    return {"": own, **named} if named else own


def _without(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without(inner) for name, inner in value.items() if name not in _NOT_SETTINGS}

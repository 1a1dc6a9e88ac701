"""Register this package's models with Transformers' Auto classes, without importing either before they are used.

Transformers keeps its own classes in tables by name, and imports a class when it is needed. This module adds our names
to the same tables as soon as any code imports the modules that define them. Registering the classes themselves would
import PyTorch, and Transformers' modules in the wrong order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TYPE = "howfar"  # `model_type` in a configuration, and the package that has both classes


def _enter_configuration(module: Any) -> None:
    module.CONFIG_MAPPING_NAMES[_TYPE] = "HowFarConfig"
    module.CONFIG_MAPPING._modules[_TYPE] = sys.modules[_TYPE]


def _enter_model(module: Any) -> None:
    module.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[_TYPE] = "HowFarForCausalLM"
    module.MODEL_FOR_CAUSAL_LM_MAPPING._modules[_TYPE] = sys.modules[_TYPE]


_ENTRIES: dict[str, Callable[[Any], None]] = {
    "transformers.models.auto.configuration_auto": _enter_configuration,
    "transformers.models.auto.modeling_auto": _enter_model,
}


class _Watch:
    """A module finder that finds nothing itself, but registers our names when another finder loads a table's module."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _ENTRIES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            _enter_after(spec.loader, _ENTRIES[name])
        return spec


def register_when_needed() -> None:
    """Register this package's classes with Transformers' Auto classes as soon as those are imported."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
    if _ENTRIES.keys() & sys.modules.keys():  # imported before this package: its classes register themselves
        import_module("howfar.models.modeling")


def _enter_after(loader: Any, enter: Callable[[Any], None]) -> None:
    execute = loader.exec_module

    def execute_and_enter(module: ModuleType) -> None:
        execute(module)
        enter(module)

    loader.exec_module = execute_and_enter

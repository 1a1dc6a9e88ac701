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

_MODULES = {
    "HowFarConfig": "howfar.models.configuration",
    "HowFarForCausalLM": "howfar.models.modeling",
    "HowFarGraftConfig": "howfar.models.auto",
    "HowFarGraftForCausalLM": "howfar.models.auto",
    "WithoutHead": "howfar.models.auto",
}
"""Where the classes are that the tables name."""
_CONFIGS = {"howfar": "HowFarConfig", "howfar_graft": "HowFarGraftConfig"}
"""By `model_type`, as in Transformers' tables."""
_MODELS = {
    "MODEL_MAPPING": {"howfar": "WithoutHead", "howfar_graft": "WithoutHead"},
    "MODEL_FOR_CAUSAL_LM_MAPPING": {"howfar": "HowFarForCausalLM", "howfar_graft": "HowFarGraftForCausalLM"},
}


class _Classes:
    """Stands for a module with all these classes, and imports each when it is needed."""

    def __getattr__(self, name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(name)
        return getattr(import_module(_MODULES[name]), name)


def _enter_configurations(module: Any) -> None:
    module.CONFIG_MAPPING_NAMES.update(_CONFIGS)
    module.CONFIG_MAPPING._modules.update(dict.fromkeys(_CONFIGS, _Classes()))


def _enter_models(module: Any) -> None:
    for table, classes in _MODELS.items():
        getattr(module, f"{table}_NAMES").update(classes)
        getattr(module, table)._modules.update(dict.fromkeys(classes, _Classes()))


_ENTRIES: dict[str, Callable[[Any], None]] = {
    "transformers.models.auto.configuration_auto": _enter_configurations,
    "transformers.models.auto.modeling_auto": _enter_models,
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
        import_module("howfar.models.auto")


def _enter_after(loader: Any, enter: Callable[[Any], None]) -> None:
    execute = loader.exec_module

    def execute_and_enter(module: ModuleType) -> None:
        execute(module)
        enter(module)

    loader.exec_module = execute_and_enter

"""Make models of this package known to Transformers' Auto classes, without importing either before they are used.

A class costs importing PyTorch, and Transformers imports its Auto classes amid other modules that a class would need.
So its own classes are entered there by name, and imported when they are asked for. The same is done with ours, as soon
as the modules that hold the names are imported, by whomever.
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
    """A finder of modules that finds none itself, but has names entered into those that others find."""

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
    """Have this package's classes known to Transformers' Auto classes as soon as those are imported."""
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

"""Imports of packages: heavy ones late and without garbage collection, optional ones with a word of what to install."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from howfar.errors import MissingExtraError


def lazily(package: str, names: Mapping[str, Iterable[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`, which import its names from their modules at first use.

        __getattr__, __dir__ = lazily(__name__, {"module": ("name", "other_name")})

    Args:
        package: The package's `__name__`.
        names: By module inside the package, the names to import from it. No name may be that of a module.

    Source:
        PEP 562, "Module __getattr__ and __dir__".
    """
    home = {name: module for module, of_module in names.items() for name in of_module}

    def fetch(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(home))}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return fetch, list_names


def import_extra(package: str, what: str, *, extra: str) -> Any:
    """Import an optional package.

    Args:
        package: Its name.
        what: What needs it, for the message.
        extra: The extra of this package that installs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        raise MissingExtraError(
            f"{what} needs the package {package}; "
            f"in the clone of howfar, run: pip install -c constraints.txt '.[{extra}]'"
        ) from None


@contextmanager
def imports_for_good() -> Iterator[None]:
    """Import modules in the block without garbage collection; their objects are never collected.

    Importing PyTorch and Transformers makes half a million objects, none of which is garbage. Without this, Python
    would scan them repeatedly during the import and once more at exit.
    """
    was_enabled, num_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > num_modules:  # else what would never be collected is a caller's garbage
            gc.freeze()
        if was_enabled:
            gc.enable()

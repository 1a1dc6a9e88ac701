"""How heavy packages are imported: late, and without looking for garbage in them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def lazily(package: str, names: Mapping[str, Iterable[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`: its names are fetched from their modules when they are first used.

        __getattr__, __dir__ = lazily(__name__, {"module": ("name", "other_name")})

    Args:
        package: Its `__name__`.
        names: By module inside the package, what is fetched from it. A name must not be a module's own.

    Source:
        PEP 562, "Module __getattr__ and __dir__".
    """
    home = {name: module for module, own in names.items() for name in own}

    def fetch(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(sorted(home))}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return fetch, list_names


@contextmanager
def imports_for_good() -> Iterator[None]:
    """Import modules in the block that stay for as long as the process does.

    Importing PyTorch and Transformers makes half a million objects, none of which is garbage. Python would look through
    all of them again and again meanwhile, and once more at its end; here it never does.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()

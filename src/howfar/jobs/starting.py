"""How worker processes start."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any


def worker_context(*modules: str) -> Any:
    """A context of `multiprocessing` that forks workers from a server process (on Windows, it spawns them).

    Workers are never forked from a process that works: they would inherit a GPU that they cannot use, locks that its
    threads hold, and clients that crash when a fork clears them (Ray's, on Python 3.13).

    Args:
        *modules: Modules that the server imports before it forks, so that its workers have them.
    """
    context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if modules and sys.platform != "win32":
        context.set_forkserver_preload([*modules])
    return context

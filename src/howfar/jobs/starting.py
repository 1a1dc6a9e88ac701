"""How worker processes start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
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


def begin_work(sharers: int, end: Callable[[], None]) -> None:
    """Set up a new worker process: it leaves Ctrl-C, which reaches every process, to its parent, and ends with it.

    Args:
        sharers: How many processes share PyTorch's threads, unless OMP_NUM_THREADS sets the number of threads of each;
            0 in a process without PyTorch.
        end: Called when the parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(end,), daemon=True).start()
    if sharers and "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // sharers))


def _end_with_parent(end: Callable[[], None]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    end()

"""Run something in many threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


def in_threads(num_threads: int, function: Callable[[int], Result], num_rounds: int = 4) -> list[list[Result]]:
    """`function(thread)` in each thread, all begun together, several times over; results by round and thread."""
    barrier = threading.Barrier(num_threads)

    def run(thread: int) -> list[Result]:
        results = []
        for _ in range(num_rounds):
            barrier.wait(timeout=120)
            results.append(function(thread))
        return results

    with _hasty_switching(), ThreadPoolExecutor(num_threads) as pool:
        by_thread = list(pool.map(run, range(num_threads)))
    return [list(row) for row in zip(*by_thread, strict=True)]


@contextmanager
def _hasty_switching() -> Iterator[None]:
    """Let the interpreter change threads as often as it can, so that one run meets what a thousand would."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)

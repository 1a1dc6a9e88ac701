"""Load a model without Transformers' messages and progress bars, in this thread only."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

from transformers.utils import logging as transformers_logging

_one_thread = threading.RLock()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide Transformers' messages and progress bars in this thread: the checks here report problems as errors.

    One thread at a time: while Transformers builds a model from files, it replaces functions for all threads.
    """
    handlers = [*logging.getLogger("transformers").handlers, *logging.getLogger().handlers]
    thread = threading.get_ident()

    def is_for_users(record: logging.LogRecord) -> bool:
        return (
            record.thread != thread
            or record.levelno >= logging.ERROR
            or record.name.partition(".")[0] != "transformers"
        )

    def bar(factory: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
        if threading.get_ident() == thread:
            return transformers_logging.EmptyTqdm(*arguments, **options)
        return factory(*arguments, **options) if previous is None else previous(factory, arguments, options)

    with _one_thread:
        previous = transformers_logging.set_tqdm_hook(bar)
        for handler in handlers:
            handler.addFilter(is_for_users)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(is_for_users)
            found = transformers_logging.set_tqdm_hook(previous)
            if found is not bar:  # another thread has set its own meanwhile
                transformers_logging.set_tqdm_hook(found)


class _ForOthers:
    """Standard error for all threads but one, which writes nothing."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what this thread writes to standard error, for progress bars that have no switch."""
    with redirect_stderr(_ForOthers(sys.stderr)):
        yield

"""Let Transformers build a model in one thread without disturbing the others.

While Transformers builds a model from files, it replaces `PreTrainedModel.tie_weights` and `torch.linspace` and sets
PyTorch's default type, for all threads; its messages and progress bars are switched for all threads too. So a model
that another thread builds at that moment would not tie its weights, and two threads that restore in the wrong order
would leave the replacements in place for good. Here Transformers' own functions are replaced once, when this module is
imported, by functions that do the same for the calling thread only, or that wait for one another. PyTorch has one
default type for all threads, so that is still changed, and only if it is not the type of the model.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers import initialization, modeling_utils
from transformers.utils import logging as transformers_logging

_one_thread = threading.RLock()
_here = threading.local()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide Transformers' messages and progress bars in this thread: the checks here report problems as errors.

    One thread at a time, and no other thread builds a model from files meanwhile.
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


def _isolate() -> None:
    """Replace the functions of Transformers that change something for all threads, unless it was done before."""
    if hasattr(modeling_utils.local_torch_dtype, "_howfar"):
        return
    default_type = modeling_utils.local_torch_dtype

    @contextmanager
    def local_torch_dtype(dtype: torch.dtype, *arguments: Any, **options: Any) -> Iterator[None]:
        with _one_thread, default_type(dtype, *arguments, **options):
            yield

    local_torch_dtype._howfar = True  # type: ignore[attr-defined]
    tie = modeling_utils.PreTrainedModel.tie_weights

    @functools.wraps(tie)
    def tie_weights(self: Any, *arguments: Any, **options: Any) -> Any:
        return None if getattr(_here, "leaves_untied", False) else tie(self, *arguments, **options)

    modeling_utils.local_torch_dtype = local_torch_dtype
    modeling_utils.PreTrainedModel.tie_weights = tie_weights
    initialization.no_tie_weights = _no_tie_weights
    initialization.meta_device_safe_creation_ops = _LinspaceOnCpu


@contextmanager
def _no_tie_weights() -> Iterator[None]:
    """As Transformers' function of this name, for this thread."""
    before = getattr(_here, "leaves_untied", False)
    _here.leaves_untied = True
    try:
        yield
    finally:
        _here.leaves_untied = before


class _LinspaceOnCpu(TorchFunctionMode):
    """As Transformers' `meta_device_safe_creation_ops`, for this thread."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(options or {})
        if function is torch.linspace:
            options.setdefault("device", "cpu")
        return function(*arguments, **options)


_isolate()

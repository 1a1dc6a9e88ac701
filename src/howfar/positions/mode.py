"""Evaluation mode for a while, also where several threads read one model at once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn


@dataclass
class _Readers:
    """Who reads a model, and what to restore after the last of them.

    Attributes:
        count: Number of current readers.
        training: The modules that were in training mode before the first reader.
    """

    count: int = 0
    training: list[nn.Module] = field(default_factory=list)


_lock = threading.Lock()
_readers: weakref.WeakKeyDictionary[nn.Module, _Readers] = weakref.WeakKeyDictionary()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode.

    Afterwards the modules that were in training mode return to it; modules that were frozen in evaluation mode
    stay frozen. If several threads read a model, it is restored after the last of them.
    """
    with _lock:
        readers = _readers.setdefault(model, _Readers())
        if not readers.count:
            readers.training = [module for module in model.modules() if module.training]
            if readers.training:
                model.eval()
        readers.count += 1
    try:
        yield
    finally:
        with _lock:
            readers.count -= 1
            if not readers.count:
                for module in readers.training:
                    module.training = True
                readers.training = []

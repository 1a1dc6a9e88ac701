"""Evaluation mode for a while, also where several threads read one model at once.

It includes the rotary frequencies: dynamic RoPE chooses them by the longest text since the last short one, so without
care the losses of a text would depend on what was read before it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


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
_frequencies = threading.RLock()  # a module has one set for all threads, so they read one after another
_readers: weakref.WeakKeyDictionary[nn.Module, _Readers] = weakref.WeakKeyDictionary()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, with the rotary frequencies of a model that has read nothing yet.

    Afterwards the modules that were in training mode return to it; modules that were frozen in evaluation mode
    stay frozen. If several threads read a model, it is restored after the last of them. The frequencies return too.
    """
    with _first_frequencies(model), _evaluating(model):
        yield


@contextmanager
def _first_frequencies(model: nn.Module) -> Iterator[None]:
    rotary: list[Any] = [part for part in model.modules() if "dynamic" in str(getattr(part, "rope_type", ""))]
    if not rotary:
        yield
        return
    with _frequencies:
        before = [(part, prefix, *_frequencies_of(part, prefix)) for part in rotary for prefix in _prefixes(part)]
        for part, prefix, now, longest in before:
            if longest > part.original_max_seq_len:
                original = getattr(part, f"{prefix}original_inv_freq").to(now.device)
                _set_frequencies(part, prefix, original, part.original_max_seq_len)
        try:
            yield
        finally:
            for each in before:
                _set_frequencies(*each)


def _prefixes(rotary: Any) -> list[str]:
    """What the names of a module's dynamic sets of frequencies begin with: nothing, or the type of layer."""
    kinds = rotary.rope_type
    return [""] if isinstance(kinds, str) else [f"{layer}_" for layer, kind in kinds.items() if "dynamic" in kind]


def _frequencies_of(rotary: Any, prefix: str) -> tuple[Tensor, Any]:
    """A set's frequencies, and the length of the text that they are for."""
    longest = getattr(rotary, f"{prefix}max_seq_len_cached", rotary.max_seq_len_cached)
    return getattr(rotary, f"{prefix}inv_freq"), longest


def _set_frequencies(rotary: Any, prefix: str, frequencies: Tensor, longest: Any) -> None:
    setattr(rotary, f"{prefix}inv_freq", frequencies)
    setattr(rotary, f"{prefix}max_seq_len_cached", longest)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
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

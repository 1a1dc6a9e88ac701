"""Windows: what a model reads at once. Overlapping windows cover a long sequence; a batch holds several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.errors import ConfigError, UnsupportedModelError
from howfar.positions.shapes import Bool, Int

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Window:
    """Tokens that a model reads at once.

    Attributes:
        document: Number of its document.
        tokens: int64 `[token]`.
        start: Index of its first token in the document; the document mark is token 0.
        kept_from: The first of the document's tokens whose results are taken from this window; the tokens before it are
            left context.
    """

    document: int
    tokens: NDArray[np.int64]
    start: int = 0
    kept_from: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def stop(self) -> int:
        """Index past the window's last token, in the document."""
        return self.start + len(self.tokens)

    @property
    def kept(self) -> slice:
        """The part of the window whose results are taken from it."""
        return slice(self.kept_from - self.start, len(self.tokens))


def check_windows(context: int, overlap: int, batch_size: int | None = None) -> None:
    """Check that windows of these sizes can cover a text.

    Raises:
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """
    if context < 2 or not 1 <= overlap < context:
        raise ConfigError(
            f"reading with a context of {context} tokens and an overlap of {overlap}; "
            "it needs a context of at least 2 and an overlap of 1 to context - 1"
        )
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"reading with a batch size of {batch_size}; it needs at least 1 window at a time")


def cover(tokens: NDArray[np.int64], context: int, overlap: int, document: int = 0) -> list[Window]:
    """Cover a document with windows; each token is kept in the window in which it has the most left context.

    Args:
        tokens: The document's tokens, including the mark before it; int64 `[token]`.
        context: The most tokens in a window. All windows of a longer document have this length: the last one starts
            earlier, so that it is not shorter.
        overlap: The least left context of a kept token, except in the first window.
        document: The document's number, stored in the windows.
    """
    windows = [Window(document, tokens[:context])]
    while windows[-1].stop < len(tokens):
        end = windows[-1].stop
        stop = min(end + context - overlap, len(tokens))
        windows.append(Window(document, tokens[stop - context : stop], stop - context, end))
    return windows


def num_windows(num_tokens: NDArray[np.int64], context: int, overlap: int) -> NDArray[np.int64]:
    """How many windows cover documents of these lengths, their marks included; `[document]`."""
    return 1 + np.maximum(0, -(-(num_tokens - context) // (context - overlap)))


def batches(windows: Iterable[Window], max_tokens: int, alike_from: float = math.inf) -> Iterator[list[Window]]:
    """Group windows of similar length, the longest first.

    Args:
        windows: In any order.
        max_tokens: The most tokens in a batch, including padding; a longer window is a batch by itself.
        alike_from: Windows longer than this many tokens share a batch only with others of the same length.
    """
    batch: list[Window] = []
    for window in sorted(windows, key=len, reverse=True):
        is_full = (len(batch) + 1) * len(batch[0]) > max_tokens if batch else False
        if is_full or (batch and len(window) < len(batch[0]) > alike_from):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def pools(items: Iterable[Item], size_of: Callable[[Item], int], size: int) -> Iterator[list[Item]]:
    """Collect items in order into pools of at least some total size.

    Args:
        items: The items; taken one by one.
        size_of: Gives the size of an item.
        size: The least size of a pool, except the last one.
    """
    pool: list[Item] = []
    gathered = 0
    for item in items:
        pool.append(item)
        gathered += size_of(item)
        if gathered >= size:
            yield pool
            pool, gathered = [], 0
    if pool:
        yield pool


def side_by_side(windows: Sequence[Window], alike_from: float = math.inf) -> Int[Tensor, "window token"]:
    """Stack windows into one batch.

    Shorter windows are padded at the end, where causal attention never looks, so a batch needs no mask.

    Args:
        windows: Any windows.
        alike_from: As for `batches`.

    Raises:
        UnsupportedModelError: One of different lengths is longer than `alike_from`.
    """
    shortest, longest = min(map(len, windows)), max(map(len, windows))
    if alike_from < longest != shortest:
        raise UnsupportedModelError(
            f"in texts of more than {alike_from} tokens this model changes its rotary frequencies (dynamic RoPE or "
            f"LongRoPE) for all texts of a batch, and here one of {longest} tokens is beside one of {shortest}; read "
            "with batch_size=1, or with a shorter context"
        )
    tokens = np.zeros((len(windows), longest), dtype=np.int64)
    for row, window in enumerate(windows):
        tokens[row, : len(window)] = window.tokens
    return torch.from_numpy(tokens)


def real_tokens(windows: Sequence[Window]) -> Bool[Tensor, "window token"]:
    """Which tokens of a batch are text, not padding."""
    lengths = torch.tensor([len(window) for window in windows])
    return torch.arange(int(lengths.max())) < lengths[:, None]

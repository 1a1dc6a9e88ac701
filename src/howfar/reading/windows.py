"""Overlapping windows over token sequences, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from howfar.errors import ConfigError


@dataclass(frozen=True)
class Window:
    """A stretch of a sequence that the model reads at once.

    Attributes:
        sequence: Which sequence it belongs to.
        start: Its first token.
        stop: The token past its last.
        kept_from: The first token whose results are taken from this window; those before it are its left context.
    """

    sequence: int
    start: int
    stop: int
    kept_from: int

    def __len__(self) -> int:
        return self.stop - self.start


def check_windows(context: int, overlap: int, batch_size: int | None = None) -> None:
    """Refuse windows that cannot cover a text.

    Raises:
        ConfigError: `context`, `overlap` or `batch_size` is out of range.
    """
    if context < 2 or not 1 <= overlap < context:
        raise ConfigError(
            f"tracing with a context of {context} tokens and an overlap of {overlap}; "
            "it needs a context of at least 2 and an overlap of 1 to context - 1"
        )
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"tracing with a batch size of {batch_size}; it needs at least 1 window at a time")


def cover(length: int, context: int, overlap: int, sequence: int = 0) -> list[Window]:
    """Cover a sequence with windows; each token is kept in the one window in which it has most left context.

    Args:
        length: Tokens in the sequence.
        context: The most tokens in a window. All windows of a longer sequence are that long: the last one begins
            earlier instead of being shorter.
        overlap: The least left context of a kept token, but for those of the first window.
        sequence: Noted in the windows.
    """
    windows = [Window(sequence, 0, min(context, length), 0)]
    while windows[-1].stop < length:
        end = windows[-1].stop
        stop = min(end + context - overlap, length)
        windows.append(Window(sequence, stop - context, stop, end))
    return windows


def batches(windows: Iterable[Window], max_tokens: int) -> Iterator[list[Window]]:
    """Group windows of similar length, the longest first.

    Args:
        windows: In any order.
        max_tokens: The most tokens in a batch, padding included; a longer window is a batch of its own.
    """
    batch: list[Window] = []
    for window in sorted(windows, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > max_tokens:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch

"""Windows of training tokens, drawn at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Split
from howfar.errors import ConfigError, CorpusError

_STARTS_PER_BLOCK = 1024


class Windows:
    """Windows that begin at random tokens of a split, each a pure function of (seed, index).

    Nothing is stored between reads, so every worker, rank and resumed run that asks for an index gets the same
    window, and different indices are independent draws. A map-style dataset, in the PyTorch sense.

    Args:
        split: The documents to draw from.
        length: Tokens in a window.
        seed: Any non-negative integer.
        num_windows: The dataset's length, usually steps x batch size. The first windows do not depend on it.

    Raises:
        ConfigError: `length`, `seed` or `num_windows` is out of range.
        CorpusError: The split is shorter than one window.
    """

    def __init__(self, split: Split, length: int, seed: int, num_windows: int) -> None:
        if length < 2 or num_windows < 1 or seed < 0:
            raise ConfigError(
                f"length, num_windows and seed are {length}, {num_windows} and {seed}; give at least 2, 1 and 0"
            )
        if len(split.tokens) < length:
            raise CorpusError(
                f"the {split.name} split has {len(split.tokens)} tokens, but one window needs {length}; "
                "give more text or shorten the context"
            )
        self.split, self.length, self.seed, self.num_windows = split, length, seed, num_windows
        self._cached_block: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return self.num_windows

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        """The tokens of a window: int64 `[length]`."""
        start = self.start_of(range(self.num_windows)[index])
        return np.array(self.split.tokens[start : start + self.length], dtype=np.int64)

    def start_of(self, index: int) -> int:
        """The index of a window's first token in the split."""
        block, place = divmod(index, _STARTS_PER_BLOCK)
        cached, starts = self._cached_block
        if cached != block:
            starts = self._draw_block(block)
            self._cached_block = (block, starts)
        return int(starts[place])

    def starts(self) -> NDArray[np.int64]:
        """The indices of all windows' first tokens: int64 `[num_windows]`, to gather windows on a device."""
        num_blocks = -(-self.num_windows // _STARTS_PER_BLOCK)
        return np.concatenate([self._draw_block(block) for block in range(num_blocks)])[: self.num_windows]

    def _draw_block(self, block: int) -> NDArray[np.int64]:
        # The block is a high word of the counter, so that different blocks have separate random streams.
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, block, 0]))
        return generator.integers(0, len(self.split.tokens) - self.length + 1, size=_STARTS_PER_BLOCK)

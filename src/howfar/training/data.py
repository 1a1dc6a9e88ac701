"""A corpus in the form that Transformers' Trainer reads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from howfar.corpus.corpus import Split
from howfar.corpus.windows import Windows
from howfar.errors import ConfigError


class TrainingWindows(Dataset[dict[str, Tensor]]):
    """Random windows of a corpus; arguments and errors are those of `Windows`."""

    def __init__(self, split: Split, length: int, seed: int, num_windows: int) -> None:
        self.windows = Windows(split, length, seed, num_windows)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Token ids, `[length]`, as inputs and labels (the model shifts them)."""
        tokens = torch.from_numpy(self.windows[index])
        return {"input_ids": tokens, "labels": tokens}


class ResidentWindows(TrainingWindows):
    """The same windows in the same order, gathered on a device that holds the whole split.

    A step then needs neither worker processes nor copies: its windows are one gather at indices that are on the device
    already, so the host never waits. A batch is returned as one piece, to be collated by `only_batch`.

    Args:
        split, length, seed, num_windows: As for `TrainingWindows`.
        device: Holds the tokens, at 2 or 4 bytes each, and 8 bytes per window.

    Raises:
        ConfigError: The device has too little memory.
    """

    def __init__(self, split: Split, length: int, seed: int, num_windows: int, device: torch.device) -> None:
        super().__init__(split, length, seed, num_windows)
        tokens = np.asarray(split.tokens)
        # Devices gather signed integers only; `unsigned` restores the values.
        signed = tokens.astype(tokens.dtype.newbyteorder("="), copy=False).view(f"i{tokens.itemsize}")
        self.unsigned = 2 ** (8 * tokens.itemsize) - 1
        try:
            self.tokens = torch.tensor(signed, device=device)
            self.starts = torch.from_numpy(self.windows.starts()).to(device)
        except (torch.OutOfMemoryError, MemoryError):
            raise ConfigError(
                f"recipe: resident is true, but {device} has no room for the {tokens.nbytes / 1e6:,.0f} MB of the "
                "corpus; set it to false"
            ) from None
        self.places = torch.arange(length, device=device)

    def __getitems__(self, indices: list[int]) -> list[dict[str, Tensor]]:
        """Token ids of consecutive windows, `[len(indices), length]`, as inputs and labels."""
        starts = self.starts[indices[0] : indices[-1] + 1]
        assert len(starts) == len(indices), "a batch is a run of consecutive windows, on every rank"
        tokens = self.tokens[starts[:, None] + self.places].long() & self.unsigned
        return [{"input_ids": tokens, "labels": tokens}]


def only_batch(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Collate what `ResidentWindows` returns: a batch already."""
    (batch,) = batches
    return batch

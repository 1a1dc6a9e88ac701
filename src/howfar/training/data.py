"""A corpus as what Transformers' Trainer reads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from howfar.text.corpus import Split
from howfar.text.windows import Windows


class TrainingWindows(Dataset[dict[str, Tensor]]):
    """Random windows of a corpus; window i is a pure function of (seed, i).

    Args:
        split: The documents to draw from.
        length: Tokens in a window.
        seed: Any non-negative integer.
        num_windows: How many there are: steps times windows in a step.
    """

    def __init__(self, split: Split, length: int, seed: int, num_windows: int) -> None:
        self.windows = Windows(split, length, seed, num_windows)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Token ids, `[length]`, as inputs and labels (the model shifts them)."""
        tokens = torch.from_numpy(self.windows[index])
        return {"input_ids": tokens, "labels": tokens}

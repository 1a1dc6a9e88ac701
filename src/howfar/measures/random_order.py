"""Steps of the same sizes in random order: a text's positions without what they say about it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from howfar.positions import override
from howfar.reading.reader import Reader


def in_random_order(reader: Reader, seed: int) -> AbstractContextManager[None]:
    """Permute every layer's increments among the tokens of a window, in the same way in all windows of a batch.

    Positions accumulate by the same steps, which tell nothing about the text any more. The first token's step stays: it
    moves all tokens alike, and elsewhere it would be a gap. Layers that share increments get the same permutation.
    """
    is_shared = reader.config is not None and reader.config.scope == "shared"

    def permuted(layer: int, increments: Tensor) -> Tensor:
        generator = np.random.default_rng([seed, 0 if is_shared else layer, increments.shape[-1]])
        order = np.append(0, 1 + generator.permutation(increments.shape[-1] - 1))
        return increments[..., torch.from_numpy(order).to(increments.device)]

    return override(reader.model, permuted)

"""How an increment ranks among those that other tokens would have in the same place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.explorer.passages import place_in
from howfar.positions import increments_of
from howfar.reading.following import read_next
from howfar.reading.reader import Reader
from howfar.reading.windows import Window

LARGEST_VOCABULARY = 1024  # above this, only the likeliest tokens are tried
NUM_LIKELIEST = 256


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Increments of the tokens that could replace a token, after the same text.

    Attributes:
        token_id: The actual token.
        token_ids: int64 `[candidate]`; `token_id` is among them.
        layers: The layers.
        increments: float32 `[layer, head, candidate]`.
        is_whole_vocabulary: Whether the candidates are all tokens; else they are the likeliest and the actual one.
    """

    token_id: int
    token_ids: NDArray[np.int64]
    layers: tuple[int, ...]
    increments: NDArray[np.float32]
    is_whole_vocabulary: bool

    def ranks(self) -> pl.DataFrame:
        """Rank of the actual token, largest first: `layer`, `head`, `increment`, `rank`, `candidates`, `percentile`."""
        own = self.increments[..., self.token_ids == self.token_id]
        larger = (self.increments > own).sum(axis=-1)
        candidates = len(self.token_ids)
        layer, head = np.meshgrid(self.layers, np.arange(own.shape[1]), indexing="ij")
        return pl.DataFrame(
            {
                "layer": layer.ravel(),
                "head": head.ravel(),
                "increment": own.ravel(),
                "rank": larger.ravel() + 1,
                "candidates": np.full(larger.size, candidates),
                "percentile": 100 * (self.increments <= own).sum(axis=-1).ravel() / candidates,
            }
        )


def read_alternatives(reader: Reader, passage: Window, token: int) -> Alternatives:
    """Replace a token by every token of the vocabulary and read their increments.

    Args:
        reader: Reads with a model that has increments.
        passage: A passage that contains the token.
        token: The token of the text.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    increments_of(reader.model)
    place = place_in(passage, token)
    own, vocabulary_size = int(passage.tokens[place]), reader.vocabulary_size

    def candidates(logits: Tensor) -> Tensor:
        if vocabulary_size <= LARGEST_VOCABULARY:
            return torch.arange(vocabulary_size)
        return torch.cat((logits.topk(NUM_LIKELIEST).indices.cpu(), torch.tensor([own]))).unique()

    token_ids, increments = read_next(reader, passage.tokens[:place], candidates)
    return Alternatives(own, token_ids, reader.layers, increments, len(token_ids) == vocabulary_size)

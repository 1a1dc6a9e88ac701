"""How an increment ranks among those that other tokens would have had in the same place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from howfar.explorer.passages import Passage
from howfar.positions import increments_of, record

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

LARGEST_VOCABULARY = 1024  # above that, only the likeliest tokens are tried
NUM_LIKELIEST = 256


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Increments of tokens that could stand in a token's place, after the same text.

    Attributes:
        token_id: The token that stands there.
        token_ids: int64 `[candidate]`; `token_id` is among them.
        layers: The layers.
        increments: float32 `[layer, head, candidate]`.
        is_whole_vocabulary: Whether the candidates are all tokens; else they are the likeliest and the one there.
    """

    token_id: int
    token_ids: NDArray[np.int64]
    layers: tuple[int, ...]
    increments: NDArray[np.float32]
    is_whole_vocabulary: bool

    def ranks(self) -> pl.DataFrame:
        """Where it ranks, the largest first: `layer`, `head`, `increment`, `rank`, `candidates`, `percentile`."""
        import polars as pl

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


@torch.inference_mode()
def read_alternatives(model: PreTrainedModel, passage: Passage, token: int) -> Alternatives:
    """Put every token of the vocabulary in a token's place and read its increments.

    The text before is read once; each candidate continues it from the same cache.

    Args:
        model: A model with increments.
        passage: A passage that holds the token.
        token: The token of the text.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    layers = increments_of(model).layer_indices
    place = passage.index_of(token)
    tokens = torch.from_numpy(passage.token_ids).to(model.device)
    own = int(tokens[place])
    vocabulary_size = model.get_input_embeddings().num_embeddings
    output = model(input_ids=tokens[None, :place], use_cache=True)
    candidates = torch.arange(vocabulary_size, device=tokens.device)
    if vocabulary_size > LARGEST_VOCABULARY:
        likeliest = output.logits[0, -1].topk(NUM_LIKELIEST).indices
        candidates = torch.cat((likeliest, tokens[place, None])).unique()
    cache = output.past_key_values
    cache.batch_repeat_interleave(len(candidates))
    with record(model) as recording:
        model(input_ids=candidates[:, None], past_key_values=cache, use_cache=True)
    increments = np.stack([recording.increments[layer][..., 0].T.cpu().numpy() for layer in layers])
    return Alternatives(own, candidates.cpu().numpy(), layers, increments, len(candidates) == vocabulary_size)

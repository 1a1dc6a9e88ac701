"""One passage of a text, read once: what the model predicts after a token, and which earlier tokens it looks at."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from howfar.positions import IncrementFunction, override, record
from howfar.reading.reading import Reader, surprisal_and_entropy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from howfar.reading import Trace

LONGEST_PASSAGE = 512  # tokens: attention weights take the square of it


@dataclass(frozen=True, eq=False)
class Passage:
    """As much of a text around a token as a model reads at once.

    Attributes:
        token_ids: int64 `[token]`; the document mark comes first where the passage begins the text.
        first: The token of the text that `token_ids` begins with; -1 for the document mark.
    """

    token_ids: NDArray[np.int64]
    first: int

    @classmethod
    def around(cls, trace: Trace, token: int, mark: int) -> Passage:
        """Take the passage around a token: the whole text where it fits, else the token in its middle.

        Args:
            trace: The text.
            token: The token.
            mark: Token id of the document mark.
        """
        sequence = np.append(mark, trace.token_ids)
        length = min(LONGEST_PASSAGE, trace.context, len(sequence))
        start = max(0, min(token + 1 - length // 2, len(sequence) - length))
        return cls(sequence[start : start + length], start - 1)

    @property
    def stop(self) -> int:
        """The token of the text past the passage's last."""
        return self.first + len(self.token_ids)

    def index_of(self, token: int) -> int:
        """Where a token of the text stands in the passage."""
        return token - self.first


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model did with a passage.

    Attributes:
        passage: The passage.
        layers: The layers that have positions.
        surprisal_nats: float32 `[token]`; 0 for the passage's first, which nothing precedes.
        increments: float32 `[layer, head, token]`.
        next_probability: float32 `[vocabulary]`: the prediction after the token that was asked about.
    """

    passage: Passage
    layers: tuple[int, ...]
    surprisal_nats: NDArray[np.float32]
    increments: NDArray[np.float32]
    next_probability: NDArray[np.float32]


@torch.inference_mode()
def read(model: PreTrainedModel, passage: Passage, token: int, edit: IncrementFunction | None = None) -> Reading:
    """Read a passage, with a model's own increments or with edited ones.

    Args:
        model: A model with increments, in eval mode.
        passage: The passage.
        token: The token of the text whose next one is predicted.
        edit: What `howfar.override` takes; positions in it are those of the passage.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    layers = Reader.of(model).layers
    tokens = torch.from_numpy(passage.token_ids)[None].to(model.device)
    with ExitStack() as stack:
        if edit is not None:
            stack.enter_context(override(model, edit))
        recording = stack.enter_context(record(model))
        logits = model(input_ids=tokens, use_cache=False).logits
    next_probability = logits[0, passage.index_of(token)].float().softmax(dim=-1).cpu().numpy()
    surprisal, _ = surprisal_and_entropy(logits, tokens)
    increments = np.stack([recording.increments[layer][0].cpu().numpy() for layer in layers])
    return Reading(passage, layers, surprisal[0].cpu().numpy(), increments, next_probability)


@dataclass(frozen=True, eq=False)
class Attention:
    """Which earlier tokens a token reads.

    Attributes:
        passage: What the model read.
        token: The token of the text that looks back.
        layers: The layers.
        weights: float32 `[layer, head, token]`: the share of each token of the passage up to `token`; they sum to 1.
    """

    passage: Passage
    token: int
    layers: tuple[int, ...]
    weights: NDArray[np.float32]


def attend(model: PreTrainedModel, passage: Passage, token: int) -> Attention:
    """Find which earlier tokens a token of a passage reads.

    Args:
        model: Any model with rotary positions.
        passage: The passage.
        token: A token of the text that the passage holds.
    """
    reader, end = Reader.of(model), passage.index_of(token) + 1
    weights = reader.attention(passage.token_ids[:end])
    return Attention(passage, token, reader.layers, weights[:, :, -1])

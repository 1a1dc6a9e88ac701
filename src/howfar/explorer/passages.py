"""One passage of a text, read once: what the model predicts after a token, and which earlier tokens it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.positions import IncrementFunction, movable, override
from howfar.reading.reader import Reader
from howfar.reading.readings import stacked
from howfar.reading.windows import Window

if TYPE_CHECKING:
    from howfar.reading import Trace

LONGEST_PASSAGE = 512  # tokens: attention weights take the square of it


def passage_around(reader: Reader, trace: Trace, token: int) -> Window:
    """As much of a text around a token as a model reads at once: all of it where it fits, else the token in its middle.

    Args:
        reader: The model that read the text.
        trace: The text.
        token: The token.
    """
    tokens = np.append(reader.mark, trace.token_ids)
    length = min(LONGEST_PASSAGE, trace.context, len(tokens))
    start = max(0, min(token + 1 - length // 2, len(tokens) - length))
    return Window(0, tokens[start : start + length], start)


def place_in(passage: Window, token: int) -> int:
    """Where a token of the text stands in a passage."""
    return token + 1 - passage.start  # the document mark is the passage's token 0 where it begins the text


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model did with a passage.

    Attributes:
        passage: What was read.
        layers: The layers that have positions.
        surprisal_nats: float32 `[token]`; 0 for the passage's first, which nothing precedes.
        increments: float32 `[layer, head, token]`.
        next_probability: float32 `[vocabulary]`: the prediction after the token that was asked about.
    """

    passage: Window
    layers: tuple[int, ...]
    surprisal_nats: NDArray[np.float32]
    increments: NDArray[np.float32]
    next_probability: NDArray[np.float32]


@contextmanager
def edited(reader: Reader, edit: IncrementFunction | None) -> Iterator[None]:
    """Let a reader's model have edited increments while the block lasts; plain ones are increments of exactly 1."""
    if edit is None:
        yield
        return
    with movable(reader.model), override(reader.model, edit):
        yield


def read(reader: Reader, passage: Window, token: int, edit: IncrementFunction | None = None) -> Reading:
    """Read a passage, with a model's own increments or with edited ones.

    Args:
        reader: Of a model with rotary positions; in a plain one each increment is 1.
        passage: The passage.
        token: The token of the text whose next one is predicted.
        edit: What `howfar.override` takes; positions in it are those of the passage.
    """
    with edited(reader, edit):
        found = reader.read_together([passage], "losses", "increments", predict_at=[place_in(passage, token)])
    return Reading(
        passage,
        reader.layers,
        found.surprisal_nats[0].cpu().numpy(),
        stacked(found.increments)[:, 0],
        found.predictions[0].exp().cpu().numpy(),
    )


@dataclass(frozen=True, eq=False)
class Attention:
    """Which earlier tokens a token reads.

    Attributes:
        passage: What the model read.
        token: The token of the text that looks back.
        layers: The layers.
        weights: float32 `[layer, head, token]`: the share of each token of the passage up to `token`. They add up to 1,
            or to less where the model has attention sinks, which take the rest.
    """

    passage: Window
    token: int
    layers: tuple[int, ...]
    weights: NDArray[np.float32]


def attend(reader: Reader, passage: Window, token: int) -> Attention:
    """Find which earlier tokens a token of a passage reads.

    Args:
        reader: Of any model with rotary positions.
        passage: The passage.
        token: A token of the text that the passage holds.
    """
    until = Window(0, passage.tokens[: place_in(passage, token) + 1], passage.start)
    weights = stacked(reader.read_together([until], "attention").attention)
    return Attention(passage, token, reader.layers, weights[:, 0, :, -1])

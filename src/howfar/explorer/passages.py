"""A passage of a text, read once: the prediction after a token, and the earlier tokens that it attends to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

LONGEST_PASSAGE = 512  # tokens: attention weights grow with its square
MAX_PREDICTIONS = 2**18  # probabilities of a text that are kept: those of a byte model


def passage_around(reader: Reader, trace: Trace, token: int) -> Window:
    """As much text around a token as a model reads at once: all of it if it fits, else with the token in the middle.

    Args:
        reader: Reads with the model that read the text.
        trace: The text.
        token: The token.
    """
    tokens = np.append(reader.mark, trace.token_ids)
    length = min(LONGEST_PASSAGE, trace.context, len(tokens))
    start = max(0, min(token + 1 - length // 2, len(tokens) - length))
    return Window(0, tokens[start : start + length], start)


def is_kept_whole(reader: Reader, trace: Trace) -> bool:
    """Whether a text is one passage, and the predictions after all of its tokens are few enough to keep."""
    is_one = len(trace) < min(LONGEST_PASSAGE, trace.context)
    return is_one and len(trace) * reader.vocabulary_size <= MAX_PREDICTIONS


def place_in(passage: Window, token: int) -> int:
    """The index of a text's token in a passage."""
    return token + 1 - passage.start  # a passage from the start of the text has the document mark as token 0


@dataclass(frozen=True, eq=False)
class PassageReading:
    """What a model does with a passage.

    Attributes:
        passage: The passage.
        layers: The layers that have positions.
        surprisal_nats: float32 `[token]`; 0 for the passage's first, which nothing precedes.
        entropy_nats: float32 `[token]`: of the prediction after each token.
        increments: float32 `[layer, head, token]`.
        predictions: float32 `[vocabulary]` by token of the text: the probabilities of what follows it.
    """

    passage: Window
    layers: tuple[int, ...]
    surprisal_nats: NDArray[np.float32]
    entropy_nats: NDArray[np.float32]
    increments: NDArray[np.float32]
    predictions: dict[int, NDArray[np.float32]]


@contextmanager
def edited(reader: Reader, edit: IncrementFunction | None) -> Iterator[None]:
    """Give a reader's model edited increments in the block; plain ones are increments of exactly 1."""
    if edit is None:
        yield
        return
    with movable(reader.model), override(reader.model, edit):
        yield


def read(
    reader: Reader, passage: Window, tokens: Sequence[int], edit: IncrementFunction | None = None
) -> PassageReading:
    """Read a passage, with a model's own increments or edited ones.

    Args:
        reader: Reads with a model that has rotary positions; in a plain one each increment is 1.
        passage: The passage.
        tokens: The tokens of the text after which to predict.
        edit: As for `howfar.override`; positions in it are those of the passage.
    """
    places = [place_in(passage, token) for token in tokens]
    with edited(reader, edit):
        found = reader.read_together([passage], "losses", "increments", predict_at=[places] if places else None)
    return PassageReading(
        passage,
        reader.layers,
        found.surprisal_nats[0].cpu().numpy(),
        found.entropy_nats[0].cpu().numpy(),
        stacked(found.increments)[:, 0],
        dict(zip(tokens, found.predictions[0].exp().cpu().numpy(), strict=True)) if places else {},
    )


@dataclass(frozen=True, eq=False)
class Attention:
    """The earlier tokens that a token attends to.

    Attributes:
        passage: The passage.
        token: The token of the text that attends.
        layers: The layers.
        weights: float32 `[layer, head, token]`: the weight of each token of the passage up to `token`. They sum to 1,
            or to less if the model has attention sinks, which take the rest.
    """

    passage: Window
    token: int
    layers: tuple[int, ...]
    weights: NDArray[np.float32]


def attend(reader: Reader, passage: Window, token: int, edit: IncrementFunction | None = None) -> Attention:
    """Find the earlier tokens that a token of a passage attends to.

    Args:
        reader: Reads with any model with rotary positions.
        passage: The passage.
        token: A token of the text in the passage.
        edit: As for `read`.
    """
    until = Window(0, passage.tokens[: place_in(passage, token) + 1], passage.start)
    with edited(reader, edit):
        weights = stacked(reader.read_together([until], "attention").attention)
    return Attention(passage, token, reader.layers, weights[:, 0, :, -1])

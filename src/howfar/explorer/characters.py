"""Whole characters that a model predicts next, even if a token is only part of a character."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.spans import token_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Written = tuple[int, ...]
"""The tokens of a character, or of anything else in a vocabulary (a whole word, the end of the document)."""

LONGEST = 4  # tokens of a character: its bytes in UTF-8


def likeliest_characters(
    reader: Reader, prefix: Window, first: NDArray[np.float32], count: int
) -> dict[Written, float]:
    """The likeliest next characters, each as its tokens, with probabilities; the likeliest first.

    A beam search over a character's tokens, with `count` beams.

    Args:
        reader: The model; overrides around a call apply.
        prefix: The tokens before.
        first: float32 `[vocabulary]`: probabilities of the next token.
        count: Number of characters.
    """
    best = _best({(int(token),): float(first[token]) for token in np.argsort(-first, kind="stable")[:count]}, count)
    for _ in range(LONGEST - 1):
        partial = [written for written in best if is_partial(spelled(reader.tokenizer, written))]
        if not partial:
            break
        windows = [_followed(prefix, written) for written in partial]
        places = [len(window) - 1 for window in windows]
        predictions = reader.read_together(windows, predict_at=places).predictions.exp().cpu().numpy()
        for written, following in zip(partial, predictions, strict=True):
            so_far = best.pop(written)
            for token in np.argsort(-following, kind="stable")[:count].tolist():
                best[*written, token] = so_far * float(following[token])
        best = _best(best, count)
    return best


def probabilities_of(
    reader: Reader, prefix: Window, first: NDArray[np.float32], wanted: Iterable[Written]
) -> dict[Written, float]:
    """Probabilities of given next characters; arguments as for `likeliest_characters`."""
    found = {written: float(first[written[0]]) for written in wanted}
    several = [written for written in found if len(written) > 1]
    if several:
        nats = reader.read_together([_followed(prefix, written) for written in several], "losses").surprisal_nats
        for written, row in zip(several, nats.cpu().numpy(), strict=True):
            found[written] = float(np.exp(-row[len(prefix) : len(prefix) + len(written)].sum()))
    return found


def sample_character(
    predict: Callable[[Window], NDArray[np.float32]],
    tokenizer: PreTrainedTokenizerBase,
    prefix: Window,
    temperature: float,
    random: np.random.Generator,
) -> bytes:
    """Sample the next character, token by token until it is complete; empty at the end of a document.

    Args:
        predict: Probabilities `[vocabulary]` of what follows a passage.
        tokenizer: The model's.
        prefix: The tokens before.
        temperature: Below 1, likely characters are sampled more often than their probability.
        random: The random generator.
    """
    written: Written = ()
    for _ in range(LONGEST):
        weights = predict(_followed(prefix, written)).astype(np.float64) ** (1 / temperature)
        written = (*written, int(random.choice(len(weights), p=weights / weights.sum())))
        data = spelled(tokenizer, written)
        if not is_partial(data):
            return data
    return b""


def spelled(tokenizer: PreTrainedTokenizerBase, written: Written) -> bytes:
    """The bytes of some tokens."""
    return b"".join(token_bytes(tokenizer, list(written)))


def is_partial(data: bytes) -> bool:
    """Whether bytes end inside a character that more bytes could complete."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return False
    return bool(decoder.getstate()[0])


def _best(candidates: dict[Written, float], count: int) -> dict[Written, float]:
    return dict(sorted(candidates.items(), key=lambda one: -one[1])[:count])


def _followed(prefix: Window, written: Written) -> Window:
    return Window(prefix.document, np.append(prefix.tokens, written).astype(np.int64), prefix.start)

"""Held-out text in windows, and what a forward pass over some of them shows: increments, positions, attention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures.documents import spread_documents
from howfar.measures.statistics import MIN_DOCUMENTS
from howfar.positions import Recording, increments_of, record
from howfar.positions.per_head import PREFIX
from howfar.positions.shapes import Bool
from howfar.reading.marks import document_mark
from howfar.text.classes import classes_of_bytes
from howfar.text.spans import byte_spans_of_tokens, token_bytes
from howfar.text.subword_classes import classes_of_subword_vocabulary
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST_WINDOW = 512
MOST_CHARACTERS = 8  # per token

"""`progress(done, in_all)`"""


@dataclass(frozen=True)
class Window:
    """A stretch of one document behind a document mark, as a model reads it.

    Attributes:
        document: The document's number.
        tokens: int64 `[token]`; the first is the mark.
    """

    document: int
    tokens: NDArray[np.int64]


AnyWindow = TypeVar("AnyWindow", bound=Window)


def window_length(model: PreTrainedModel) -> int:
    """Tokens in a window: what the model was trained with, at most `LONGEST_WINDOW`."""
    return min(LONGEST_WINDOW, int(model.config.max_position_embeddings))


def sample_windows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Corpus | Iterable[str],
    *,
    num_documents: int,
    length: int | None = None,
    seed: int = 0,
) -> list[Window]:
    """One window from each of some documents, so that windows are as independent as documents.

    Args:
        model: What will read them.
        tokenizer: The model's.
        texts: A corpus, of which the held-out documents are read, or texts.
        num_documents: How many documents at most; spread evenly over the texts, so that every source has its share.
        length: The most tokens in a window; `window_length` where None.
        seed: Decides where in its document a window begins, and the order of the windows.

    Raises:
        NotMeasurableError: There are too few documents for an interval, or their tokens are not the model's.
    """
    generator = np.random.default_rng(seed)
    length = length or window_length(model)
    mark = document_mark(tokenizer)
    documents = spread_documents(texts, tokenizer, num_documents=num_documents)
    windows = []
    for place in generator.permutation(len(documents)).tolist():
        text = documents[place].text
        # A token of text is seldom more than a few characters; a longer stretch need not be tokenized.
        longest = length * MOST_CHARACTERS
        start = int(generator.integers(0, max(0, len(text) - length) + 1))
        token_ids = byte_spans_of_tokens(tokenizer, text[start : start + longest]).token_ids[: length - 1]
        if len(token_ids):
            windows.append(Window(documents[place].number, np.append(mark, token_ids)))
    if len(windows) < MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{len(windows)} documents with text give no interval; give at least {MIN_DOCUMENTS}, "
            "or split the text into more"
        )
    check_vocabulary(model, windows)
    return windows


def check_vocabulary(model: PreTrainedModel, windows: Sequence[Window]) -> None:
    """Refuse tokens that a model does not have.

    Raises:
        NotMeasurableError: There are some.
    """
    largest = max(int(window.tokens.max()) for window in windows)
    vocabulary_size = model.get_input_embeddings().num_embeddings
    if largest >= vocabulary_size:
        raise NotMeasurableError(
            f"the tokenizer gives token {largest}, the model's vocabulary ends at {vocabulary_size - 1}; "
            "pass the model's own tokenizer"
        )


def in_batches(windows: Sequence[AnyWindow], size: int) -> Iterator[Sequence[AnyWindow]]:
    """The windows in their order, some at a time."""
    for begin in range(0, len(windows), size):
        yield windows[begin : begin + size]


def real_tokens(windows: Sequence[Window]) -> Bool[Tensor, "window token"]:
    """Which tokens are text where windows stand side by side, filled up behind their ends."""
    lengths = torch.tensor([len(window.tokens) for window in windows])
    return torch.arange(int(lengths.max())) < lengths[:, None]


@contextmanager
def watch(model: PreTrainedModel, with_attention: bool = True) -> Iterator[tuple[Recording, dict[int, Tensor]]]:
    """Keep each layer's increments and positions, and its attention weights.

    Args:
        model: A model with increments.
        with_attention: Whether to keep attention weights; attention is then computed eagerly as long as the block
            lasts, for fused attention has no weights to show.

    Yields:
        The increments and positions, and by layer the weights `[batch, head, query, key]`, of the latest forward pass.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    increments = increments_of(model)
    weights: dict[int, Tensor] = {}

    def keep_of(layer: int) -> Any:
        def keep(module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> None:
            weights[layer] = output[1]

        return keep

    with record(model) as recording:
        if not with_attention:
            yield recording, weights
            return
        hooks = []
        for layer in increments.layer_indices:
            modules = increments.layers[layer].children()
            attention = next(module for module in modules if "Attention" in type(module).__name__)
            hooks.append(attention.register_forward_hook(keep_of(layer)))
        before = model.config._attn_implementation
        try:
            model.set_attn_implementation(f"{PREFIX}eager" if before.startswith(PREFIX) else "eager")
            yield recording, weights
        finally:
            model.set_attn_implementation(before)
            for hook in hooks:
                hook.remove()


def byte_lengths(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Bytes of text that each token id stands for, 0 for special tokens; `[id]`."""
    return np.array([len(piece) for piece in token_bytes(tokenizer, range(len(tokenizer)))], dtype=np.int64)


def classes_of_tokens(tokenizer: PreTrainedTokenizerBase, windows: Sequence[Window]) -> list[NDArray[np.uint8]]:
    """Classes of each window's tokens, `[token]`: by their text where tokens are bytes, else by the token alone."""
    if is_byte_tokenizer(tokenizer):
        return [classes_of_bytes(window.tokens) for window in windows]
    classes = classes_of_subword_vocabulary(token_bytes(tokenizer, range(len(tokenizer))))
    return [classes[window.tokens] for window in windows]

"""Held-out text in batches, and what one forward pass over a batch says: losses, increments, attention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from howfar.errors import NotMeasurableError
from howfar.positions import Increments, Recording, increments_of, record
from howfar.positions.per_head import PREFIX
from howfar.positions.shapes import Bool, Float, Int
from howfar.text.classes import ByteClass, classes_of_bytes
from howfar.text.corpus import Split
from howfar.text.spans import token_bytes
from howfar.text.subword_classes import SubwordClass, classes_of_subword_vocabulary
from howfar.text.tokenizer import is_byte_tokenizer

DEFAULT_LENGTH = 512


@dataclass(frozen=True)
class Window:
    """A stretch of one document. Its first token is context only: nothing precedes it.

    Attributes:
        document: The document's index in its split.
        tokens: int64 `[token]`.
    """

    document: int
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Windows side by side, padded behind their ends, where causal attention never looks.

    Attributes:
        windows: The windows.
        tokens: `[window, token]`.
        real: `[window, token]`, false for padding.
    """

    windows: tuple[Window, ...]
    tokens: Int[Tensor, "window token"]
    real: Bool[Tensor, "window token"]


@dataclass
class Attention:
    """Attention weights of the latest forward pass by decoder layer; `[batch, head, query, key]`."""

    weights: dict[int, Tensor] = field(default_factory=dict)


def context_length(model: PreTrainedModel) -> int:
    """Tokens in a window: what the model was trained with, at most `DEFAULT_LENGTH`."""
    return min(DEFAULT_LENGTH, int(model.config.max_position_embeddings))


def document_windows(split: Split, length: int, num_documents: int, seed: int = 0) -> list[Window]:
    """One window from each of some documents, so that windows are as independent as documents.

    Args:
        split: The documents, usually a corpus's `held_out`.
        length: The most tokens in a window.
        num_documents: How many documents; spread evenly over the split, so that every source has its share.
        seed: Decides where in its document a window begins.

    Raises:
        NotMeasurableError: The split has no document of at least two tokens.
    """
    generator = np.random.default_rng(seed)
    sizes = np.diff(np.asarray(split.offsets, dtype=np.int64)) - 1
    usable = np.flatnonzero(sizes >= 2)
    if not len(usable):
        raise NotMeasurableError(f"the {split.name} split has no documents to measure on; build the corpus with some")
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(num_documents, len(usable))).round().astype(int))]
    windows = []
    for document in chosen.tolist():
        # The window begins at the document mark or later, and ends inside the document.
        first, stop = int(split.offsets[document]) - 1, int(split.offsets[document + 1]) - 1
        start = int(generator.integers(first, max(first, stop - length) + 1))
        tokens = np.asarray(split.tokens[start : min(start + length, stop)], dtype=np.int64)
        windows.append(Window(document, tokens))
    return windows


def batches(windows: Sequence[Window], size: int, device: torch.device) -> Iterator[Batch]:
    """Windows in batches, in their order."""
    for begin in range(0, len(windows), size):
        group = tuple(windows[begin : begin + size])
        longest = max(len(window.tokens) for window in group)
        tokens = torch.zeros(len(group), longest, dtype=torch.long)
        real = torch.zeros(len(group), longest, dtype=torch.bool)
        for row, window in enumerate(group):
            tokens[row, : len(window.tokens)] = torch.from_numpy(window.tokens)
            real[row, : len(window.tokens)] = True
        yield Batch(group, tokens.to(device), real.to(device))


def token_losses(model: PreTrainedModel, batch: Batch) -> Float[Tensor, "window token_but_first"]:
    """Loss of each token but the first given those before it, in nats; zeros for padding."""
    logits = model(input_ids=batch.tokens, use_cache=False).logits
    losses = F.cross_entropy(logits[:, :-1].float().transpose(1, 2), batch.tokens[:, 1:], reduction="none")
    return losses.masked_fill(~batch.real[:, 1:], 0)


@contextmanager
def watched(model: PreTrainedModel) -> Iterator[tuple[Recording, Attention]]:
    """Keep the increments, positions and attention weights of each layer that has learned positions.

    Attention is computed eagerly for as long as the block lasts, for fused attention has no weights to show.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    increments, attention = increments_of(model), Attention()
    before = model.config._attn_implementation
    prefix = PREFIX if increments.config.per_head else ""
    hooks = [
        attention_module(increments, layer).register_forward_hook(_keep_weights(attention, layer))
        for layer in increments.layer_indices
    ]
    model.set_attn_implementation(f"{prefix}eager")
    try:
        with record(model) as recording:
            yield recording, attention
    finally:
        model.set_attn_implementation(before)
        for hook in hooks:
            hook.remove()


def attention_module(increments: Increments, layer: int) -> nn.Module:
    """The attention module of a decoder layer."""
    decoder_layer = increments.layers[layer]
    module: nn.Module = getattr(decoder_layer, "self_attn", None) or decoder_layer.attention
    return module


def _keep_weights(attention: Attention, layer: int):  # type: ignore[no-untyped-def]
    def keep(module: nn.Module, args: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
        attention.weights[layer] = output[1]

    return keep


def byte_lengths(tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> NDArray[np.int64]:
    """Bytes of text that each token id stands for: int64 `[id]`; 0 for special tokens."""
    return np.array([len(piece) for piece in _pieces(tokenizer, vocabulary_size)], dtype=np.int64)


def class_of_tokens(tokenizer: PreTrainedTokenizerBase, windows: Iterable[Window]) -> list[NDArray[np.uint8]]:
    """The class of each token of each window: by the text where tokens are bytes, else by the token alone."""
    if is_byte_tokenizer(tokenizer):
        return [classes_of_bytes(window.tokens) for window in windows]
    classes = classes_of_subword_vocabulary(_pieces(tokenizer, len(tokenizer)))
    return [classes[window.tokens] for window in windows]


def class_names(tokenizer: PreTrainedTokenizerBase) -> type[ByteClass] | type[SubwordClass]:
    """What the numbers of `class_of_tokens` mean."""
    return ByteClass if is_byte_tokenizer(tokenizer) else SubwordClass


def _pieces(tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> list[bytes]:
    return token_bytes(tokenizer, range(vocabulary_size))

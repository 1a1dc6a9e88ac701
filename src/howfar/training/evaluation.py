"""The loss on held-out documents, document by document."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from howfar.errors import CorpusError
from howfar.text.corpus import Split
from howfar.text.windows import DocumentWindow, documents_in_windows


@dataclass(frozen=True)
class DocumentLosses:
    """Loss of a model on each document of a split.

    Args:
        nats: Sum over the document's tokens, in nats; `[document]`.
        num_bytes: Length of the document's UTF-8 text; `[document]`.
        sources: Which source each document came from; `[document]`, indices into `source_names`.
        source_names: The corpus's sources.
    """

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.int64]
    sources: NDArray[np.int64]
    source_names: tuple[str, ...]

    @property
    def nats_per_byte(self) -> float:
        """Over all documents together."""
        return float(self.nats.sum() / self.num_bytes.sum())

    @property
    def bits_per_byte(self) -> float:
        """Over all documents together."""
        return self.nats_per_byte / math.log(2)


def document_losses(
    model: nn.Module, split: Split, *, length: int, batch_size: int = 16, max_windows: int | None = None
) -> DocumentLosses:
    """Evaluate a model on documents; each of their tokens is scored exactly once.

    Args:
        model: A causal language model.
        split: The documents, usually a corpus's `held_out`.
        length: Tokens in a window; later windows of a document begin with half a window of context.
        batch_size: Windows at a time.
        max_windows: Stop after as many windows (for a glance during training); None for all.

    Raises:
        CorpusError: There is nothing to evaluate on.
    """
    nats = np.zeros(split.num_documents)
    seen = np.zeros(split.num_documents, dtype=bool)
    windows = islice(documents_in_windows(split, length, overlap=length // 2), max_windows)
    for batch in _batches(windows, batch_size):
        for window, loss in zip(batch, token_losses(model, [w.tokens for w in batch]), strict=True):
            nats[window.document] += float(loss[window.scored.start - 1 : window.scored.stop - 1].double().sum())
            seen[window.document] = True
    if not seen.any():
        raise CorpusError("the corpus has no held-out documents to evaluate on; build it with some held out")
    num_bytes, sources = np.asarray(split.num_bytes, dtype=np.int64), np.asarray(split.sources, dtype=np.int64)
    if max_windows is not None:  # the last document may be cut short
        seen[np.flatnonzero(seen)[-1]] = seen.sum() == 1
    return DocumentLosses(nats[seen], num_bytes[seen], sources[seen], split.source_names)


@torch.no_grad()
def token_losses(model: nn.Module, windows: list[NDArray[np.int64]]) -> Tensor:
    """Loss of every token given those before it in its window, in nats.

    Args:
        model: A causal language model; its training mode is restored afterwards.
        windows: Token ids, of any lengths.

    Returns:
        float32 `[window, longest - 1]`: entry t is the loss of token t + 1; zeros behind a shorter window's end.
    """
    longest = max(len(window) for window in windows)
    tokens = torch.zeros(len(windows), longest, dtype=torch.long)
    real = torch.zeros(len(windows), longest, dtype=torch.bool)
    for row, window in enumerate(windows):
        tokens[row, : len(window)] = torch.from_numpy(window)
        real[row, : len(window)] = True
    device = next(model.parameters()).device
    tokens, real = tokens.to(device), real.to(device)
    was_training = model.training
    model.eval()
    # Padding stands behind the text, where causal attention never looks, so it needs no mask.
    logits = model(input_ids=tokens, use_cache=False).logits
    model.train(was_training)
    losses = F.cross_entropy(logits[:, :-1].float().transpose(1, 2), tokens[:, 1:], reduction="none")
    return losses.masked_fill(~real[:, 1:], 0).cpu()


def _batches(windows: Iterator[DocumentWindow], size: int) -> Iterator[list[DocumentWindow]]:
    while batch := list(islice(windows, size)):
        yield batch

"""The loss on held-out documents, document by document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from howfar.corpus.corpus import Split
from howfar.corpus.windows import DocumentWindow, documents_in_windows
from howfar.errors import CorpusError


@dataclass(frozen=True)
class DocumentLosses:
    """Loss of a model on each document of a split that it was scored on.

    Args:
        nats: Sum over the document's scored tokens, in nats; `[document]`.
        num_bytes: UTF-8 bytes of the scored tokens; `[document]`.
        sources: Which source each document came from; `[document]`, indices into `source_names`.
        source_names: The corpus's sources.
    """

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.float64]
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

    def summary(self) -> dict[str, Any]:
        """Plain values, for a record of training."""
        return {
            "documents": len(self.nats),
            "bytes": round(self.num_bytes.sum()),
            "nats_per_byte": self.nats_per_byte,
            "nats_per_byte_by_source": self.nats_per_byte_by_source(),
        }

    def nats_per_byte_by_source(self) -> dict[str, float]:
        """Over all documents of each source that has some."""
        chosen = {name: self.sources == index for index, name in enumerate(self.source_names)}
        return {
            name: float(self.nats[own].sum() / self.num_bytes[own].sum()) for name, own in chosen.items() if own.any()
        }


def document_losses(
    model: nn.Module, split: Split, *, length: int, batch_size: int = 16, max_windows: int | None = None
) -> DocumentLosses:
    """Evaluate a model on documents; each of their tokens is scored exactly once.

    Args:
        model: A causal language model.
        split: The documents, usually a corpus's `held_out`.
        length: Tokens in a window; later windows of a document begin with half a window of context.
        batch_size: Windows at a time.
        max_windows: For a glance: at most so many windows, evenly spread over all documents. None for all.

    Raises:
        CorpusError: There is nothing to evaluate on.
    """
    nats = np.zeros(split.num_documents)
    num_scored = np.zeros(split.num_documents, dtype=np.int64)
    windows: Iterable[DocumentWindow] = documents_in_windows(split, length, overlap=length // 2)
    if max_windows is not None:
        total = sum(1 for _ in documents_in_windows(split, length, overlap=length // 2))
        windows = islice(windows, 0, None, max(1, -(-total // max_windows)))
    for batch in _batches(iter(windows), batch_size):
        for window, loss in zip(batch, token_losses(model, [w.tokens for w in batch]), strict=True):
            scored = loss[window.scored.start - 1 : window.scored.stop - 1]
            nats[window.document] += float(scored.double().sum())
            num_scored[window.document] += len(scored)
    seen = num_scored > 0
    if not seen.any():
        raise CorpusError("the corpus has no held-out documents to evaluate on; build it with some held out")
    # Of a document that is scored in part, as many bytes count as its tokens have on average.
    starts = np.asarray(split.offsets, dtype=np.int64)
    num_tokens = starts[1:] - starts[:-1] - 1
    num_bytes = split.num_bytes[seen] * num_scored[seen] / num_tokens[seen]
    return DocumentLosses(nats[seen], num_bytes, np.asarray(split.sources, dtype=np.int64)[seen], split.source_names)


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

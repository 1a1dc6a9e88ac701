"""The loss on held-out documents, document by document."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from howfar.corpus.corpus import Corpus, Split
from howfar.errors import CorpusError
from howfar.reading.reader import Reader
from howfar.reading.windows import num_windows
from howfar.text.marks import document_mark

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class DocumentLosses:
    """A model's loss on each document that was scored.

    Args:
        nats: Sum over the document's scored tokens, in nats; `[document]`.
        num_bytes: UTF-8 bytes of the scored tokens; `[document]`.
        sources: Each document's source; `[document]`, indices into `source_names`.
        source_names: The corpus's sources.
    """

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.float64]
    sources: NDArray[np.int64]
    source_names: tuple[str, ...]

    @property
    def nats_per_byte(self) -> float:
        """The loss over all documents together, in nats per byte."""
        return float(self.nats.sum() / self.num_bytes.sum())

    @property
    def bits_per_byte(self) -> float:
        """The loss over all documents together, in bits per byte."""
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
        """The loss over all documents of each source that has any."""
        chosen = {name: self.sources == index for index, name in enumerate(self.source_names)}
        return {
            name: float(self.nats[own].sum() / self.num_bytes[own].sum()) for name, own in chosen.items() if own.any()
        }


def held_out_losses(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, corpus: Corpus, **options: Any
) -> DocumentLosses | None:
    """The losses that a run reports: on all held-out documents, each after the tokenizer's document mark.

    Args:
        model: A causal language model.
        tokenizer: The corpus's tokenizer.
        corpus: The corpus.
        **options: Those of `document_losses`.

    Returns:
        The losses; None if no document is held out.
    """
    if not corpus.held_out.num_documents:
        return None
    return document_losses(model, corpus.held_out, mark=document_mark(tokenizer), **options)


def document_losses(
    model: nn.Module,
    split: Split,
    *,
    length: int,
    mark: int | None = None,
    batch_size: int | None = None,
    max_windows: int | None = None,
) -> DocumentLosses:
    """Evaluate a model on documents; each of their tokens is scored exactly once.

    The windows are those of `howfar.trace`, so the loss is the sum of a trace's surprisals.

    Args:
        model: A causal language model.
        split: The documents, usually a corpus's `held_out`.
        length: Tokens in a window; each later window of a document begins with a sixth of that as left context.
        mark: Token id of the document mark; if None, the corpus's end of document.
        batch_size: Windows at a time; if None, chosen by size.
        max_windows: For a quick estimate: at most this many windows, drawn from all (always the same). None for all.

    Raises:
        CorpusError: There are no held-out documents.
    """
    reader = Reader(model, context=length, batch_size=batch_size)
    offsets = np.asarray(split.offsets, dtype=np.int64)
    num_tokens = np.diff(offsets) - 1
    only = None
    if max_windows is not None:  # by lot: every second window could be the first of each document, with least context
        num_all = int(num_windows(num_tokens + 1, length, reader.overlap)[num_tokens > 0].sum())
        only = set(np.random.default_rng(0).permutation(num_all)[:max_windows].tolist())
    documents = (
        np.append(split.tokens[first - 1] if mark is None else mark, split.document(number)).astype(np.int64)
        for number, first in enumerate(offsets[:-1])
    )
    losses = np.array(list(reader.nats_of(documents, only))).reshape(-1, 2)
    nats, num_scored = losses.T
    seen = num_scored > 0
    if not seen.any():
        raise CorpusError("the corpus has no held-out documents to evaluate on; build it with some held out")
    # A document that is scored in part counts the average number of bytes for each scored token.
    num_bytes = split.num_bytes[seen] * num_scored[seen] / num_tokens[seen]
    return DocumentLosses(nats[seen], num_bytes, np.asarray(split.sources, dtype=np.int64)[seen], split.source_names)

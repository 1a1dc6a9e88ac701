"""The text that a model has read in training, according to its record, for counting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from howfar.corpus.corpus import Corpus
from howfar.corpus.windows import Windows
from howfar.errors import HowFarError
from howfar.measures.documents import BETWEEN_DOCUMENTS, decoder_of, sample_blocks
from howfar.models.folders import find_model
from howfar.training.checkpoints import read_record, window_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WINDOWS_IN_BLOCK = 1024


def blocks_seen(
    model: PreTrainedModel, corpus: Corpus, tokenizer: PreTrainedTokenizerBase, *, num_tokens: int
) -> Iterator[str]:
    """The part of a corpus that a model has read: its training windows, if this package trained it on that corpus.

    Counts of more text than a model has read could know more than the model. Otherwise a sample of the corpus, as for
    a graft, whose base has read other text.

    Raises:
        NotMeasurableError: The corpus has no training documents, or another tokenizer.
    """
    windows = windows_seen(model, corpus)
    if windows is None:
        yield from sample_blocks(corpus, tokenizer, num_tokens=num_tokens)
        return
    decode = decoder_of(corpus, tokenizer)
    num = min(len(windows), num_tokens // windows.length)
    for first in range(0, num, WINDOWS_IN_BLOCK):
        numbers = range(first, min(first + WINDOWS_IN_BLOCK, num))
        yield BETWEEN_DOCUMENTS.join(decode(windows[number]) for number in numbers)


def windows_seen(model: PreTrainedModel, corpus: Corpus) -> Windows | None:
    """The windows of a corpus that a model was trained on; None for a graft, and if its record does not say so."""
    try:
        record = read_record(find_model(model.name_or_path))
        if record["corpus"]["hash"] != corpus.hash or "base" in record["recipe"]:
            return None
        num = int(record["step"]) * int(record["windows_per_step"])
        return Windows(corpus.train, window_length(record), int(record["recipe"]["seed"]), num)
    except (KeyError, TypeError, ValueError, HowFarError):
        return None

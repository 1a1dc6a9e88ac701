"""Boundaries found by rule in texts, where no gold segmentation is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from howfar.corpus.corpus import Corpus
from howfar.measures.boundaries.targets import Target
from howfar.measures.documents import spread_documents
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_DOCUMENTS = 256
FIRST_CHARACTERS = 1000
"""Of a document, from which it is estimated how many gaps there are in the rest."""


def segmented(
    texts: Corpus | Sequence[str], tokenizer: PreTrainedTokenizerBase, target: Target, max_gaps: int, seed: int
) -> Iterator[Segmentation]:
    """Beginnings of documents with the boundaries that a target's own rule finds, in random order.

    They are just long enough for all of them together to hold `max_gaps`: an interval needs many documents, not long
    ones.
    """
    documents = spread_documents(texts, tokenizer, num_documents=MOST_DOCUMENTS)
    found = [document.text for document in documents if document.text]
    gaps_per_character = sum(target.candidates(text[:FIRST_CHARACTERS]).mean() for text in found)
    length = math.ceil(max_gaps / max(gaps_per_character, 1e-9))
    for number in np.random.default_rng(seed).permutation(len(found)).tolist():
        yield target.segment(found[number][:length])

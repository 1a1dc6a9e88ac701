"""Boundaries found by rule, for texts without a gold segmentation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from howfar.corpus.corpus import Corpus
from howfar.measures.boundaries.targets import Target
from howfar.measures.documents import documents_of
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_DOCUMENTS = 256
FIRST_CHARACTERS = 1000
"""Characters of a document from which its number of gaps is estimated."""


def segmented(
    texts: Corpus | Sequence[str], tokenizer: PreTrainedTokenizerBase, target: Target, max_gaps: int, seed: int
) -> Iterator[Segmentation]:
    """Beginnings of documents, in random order, with the boundaries that the target's rule finds.

    Their length is chosen so that all of them together have about `max_gaps` gaps, because an interval needs many
    documents rather than long ones.
    """
    documents = documents_of(texts, tokenizer, num_documents=MOST_DOCUMENTS)
    found = [document.text for document in documents if document.text]
    gaps_per_character = sum(target.candidates(text[:FIRST_CHARACTERS]).mean() for text in found)
    length = math.ceil(max_gaps / max(gaps_per_character, 1e-9))
    for number in np.random.default_rng(seed).permutation(len(found)).tolist():
        yield target.segment(found[number][:length])

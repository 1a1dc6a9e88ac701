"""Increments at the gap between the two parts of a pair, in carrier phrases or in passages of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures.documents import every_document
from howfar.measures.pairs.lists import Pair
from howfar.reading import Trace, trace_many

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ENGLISH = (
    "Yesterday I read about ",
    "This article is about ",
    "Many people know ",
    "The report mentions ",
    "They wrote a book on ",
)
CHINESE = ("昨天我读到了", "这篇文章介绍", "很多人都知道", "报告中提到", "他们写了一本书讲")
CARRIERS = {" ": ENGLISH, "": CHINESE}
"""Phrases to put before a pair, by the separator of its parts."""

SITES = ("space", "lead byte", "character", "second word", "space after")
"""Places that are scored: the space between the parts; the second part's first byte, if its first character has
several; the sum over that character's bytes; the mean over the second part's tokens; the space after it, if there is
one. Each is scored by the increment of the token that contains it."""

NUM_PASSAGES = 5
PASSAGE_CHARACTERS = 200

Scores = NDArray[np.float64]
"""Increments, `[pair, site, layer, head]`; NaN at a site that a pair does not have."""


def scores_in_carriers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, pairs: Sequence[Pair]
) -> Scores:
    """Increments of each pair, all of one language, averaged over the carrier phrases."""
    carriers = CARRIERS[pairs[0].separator]
    passages = [(index, text, pair) for index, pair in enumerate(pairs) for text in carriers]
    return _mean_scores(model, tokenizer, passages)


def scores_in_passages(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, pairs: Sequence[Pair], corpus: Corpus
) -> Scores:
    """Increments of each pair, averaged over passages of a corpus that contain it; NaN for a pair that is not found.

    Raises:
        NotMeasurableError: No pair is found.
    """
    passages = list(find_passages(pairs, corpus, tokenizer))
    if not passages:
        raise NotMeasurableError(
            f"no document of {corpus.folder} contains one of {len(pairs)} pairs, as {pairs[0].text!r}; "
            "give the corpus that they were counted in"
        )
    found = sorted({index for index, _, _ in passages})
    of_found = _mean_scores(model, tokenizer, passages)
    scores = np.full((len(pairs), *of_found.shape[1:]), np.nan)
    scores[found] = of_found
    return scores


def find_passages(
    pairs: Sequence[Pair], corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None
) -> Iterator[tuple[int, str, Pair]]:
    """Find each pair in up to `NUM_PASSAGES` documents, held-out ones first: its index, the text before it, itself."""
    missing = dict.fromkeys(range(len(pairs)), NUM_PASSAGES)
    for document in every_document(corpus, tokenizer):
        for index in list(missing):
            place = _find(document.text, pairs[index])
            if place < 0:
                continue
            yield index, document.text[max(0, place - PASSAGE_CHARACTERS) : place], pairs[index]
            missing[index] -= 1
            if not missing[index]:
                del missing[index]
        if not missing:
            return


def _find(text: str, pair: Pair) -> int:
    """Index of the first occurrence of a pair that is not part of longer words; -1 if there is none."""
    place = text.find(pair.text)
    while place >= 0 and pair.separator:
        end = place + len(pair.text)
        if not text[max(0, place - 1) : place].isalnum() and not text[end : end + 1].isalnum():
            break
        place = text.find(pair.text, place + 1)
    return place


def _mean_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, passages: Iterable[tuple[int, str, Pair]]
) -> NDArray[np.float64]:
    """Average the increments of each pair over its passages; `[pair, site, layer, head]`."""
    ordered = sorted(passages, key=lambda passage: passage[0])
    traces = trace_many(model, [before + pair.text for _, before, pair in ordered], tokenizer)
    scores = [
        (index, scores_of(trace, before, pair)) for trace, (index, before, pair) in zip(traces, ordered, strict=True)
    ]
    return np.stack(
        [np.mean([score for _, score in group], axis=0) for _, group in groupby(scores, key=lambda item: item[0])]
    )


def scores_of(trace: Trace, before: str, pair: Pair) -> NDArray[np.float64]:
    """Increments `[site, layer, head]` of a pair that follows the text `before`; NaN at sites that it lacks."""
    starts, ends = trace.token_bytes.T
    second = len((before + pair.first + pair.separator).encode())
    character = len(pair.second[0].encode())
    scores = np.full((len(SITES), *trace.increments.shape[:2]), np.nan)

    def covering(byte: int) -> int:
        return int(np.flatnonzero((starts <= byte) & (byte < ends))[0])

    if pair.separator:
        scores[0] = trace.increments[..., covering(second - 1)]
    if character > 1:
        scores[1] = trace.increments[..., covering(second)]
    scores[2] = trace.increments[..., covering(second) : covering(second + character - 1) + 1].sum(axis=-1)
    end = second + len(pair.second.encode())
    scores[3] = trace.increments[..., covering(second) : covering(end - 1) + 1].mean(axis=-1)
    if trace.text.encode()[end : end + 1] == b" ":
        scores[4] = trace.increments[..., covering(end)]
    return scores

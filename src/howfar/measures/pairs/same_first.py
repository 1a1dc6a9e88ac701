"""Entities compared with other words after the same first word: *New York* with *New laws*.

The first word affects both sides in the same way. Passages are matched on the place in the sentence and on the entropy
at the space, so both sides are equally predictable. What is left is due to the second word. The increment at the space
comes before that word and can only reflect its expectation, so the second word's own bytes and the space after it are
scored too. The bytes of *York* differ from those of *laws*, so the space after the word is the fairer test.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures.documents import every_document
from howfar.measures.pairs.lists import Pair
from howfar.measures.pairs.scores import PASSAGE_CHARACTERS, Scores, scores_of
from howfar.reading import trace_many

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CALIPER_NATS = 0.2
"""The largest difference of entropy at the space between two matched passages."""
PASSAGES_OF_ENTITY = 8
PASSAGES_OF_OTHERS = 32
_SENTENCE_END = re.compile(r"(?:\A|[.!?…。！？\n][\"'”’)\]]*)\s*\Z")


@dataclass(frozen=True)
class Passage:
    """An entity's first word and the word that follows it in a corpus."""

    entity: int  # index of the entity
    pair: Pair  # the two words
    before: str  # the text before them
    starts_sentence: bool  # whether the first word does
    is_entity: bool  # whether the second word is the entity's


@dataclass(frozen=True)
class SameFirst:
    """Mean increments of matched passages."""

    entities: Scores  # means over passages with the entity, `[pair, site, layer, head]`; NaN if nothing matches
    others: Scores  # the same over the matched passages with another second word
    num_passages: int  # number of matched passages of both kinds
    entropy_difference: float  # of the second word's prediction, entities minus others, mean in nats


def same_first(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, entities: Sequence[Pair], corpus: Corpus
) -> SameFirst:
    """Score entities (words with a space between them), and other words after the same first word, in matched passages.

    Raises:
        NotMeasurableError: No document contains the first word of an entity, followed by another.
    """
    passages = list(find_same_first(entities, corpus, tokenizer))
    if not passages:
        raise NotMeasurableError(
            f"no document of {corpus.folder} contains one of {len(entities)} first words, as {entities[0].first!r}; "
            "give a larger corpus or other pairs"
        )
    scores, entropies = [], []
    texts = (f"{passage.before}{passage.pair.text} " for passage in passages)
    for passage, trace in zip(passages, trace_many(model, texts, tokenizer), strict=True):
        scores.append(scores_of(trace, passage.before, passage.pair))
        # Of the prediction of the second word, whose token may begin with the space.
        space = len((passage.before + passage.pair.first).encode())
        second = int(np.searchsorted(trace.token_bytes[:, 1], space + 1, side="right"))
        entropies.append(trace.entropy_nats[max(0, second - 1)])
    shape = (len(entities), *scores[0].shape)
    ours, theirs = np.full(shape, np.nan), np.full(shape, np.nan)
    differences: list[float] = []
    for entity in range(len(entities)):
        matched = match_passages(passages, np.array(entropies), entity)
        if matched:
            mine, others = zip(*matched, strict=True)
            ours[entity] = np.mean([scores[index] for index in mine], axis=0)
            theirs[entity] = np.mean([scores[index] for index in others], axis=0)
            differences += [entropies[one] - entropies[two] for one, two in matched]
    mean_difference = float(np.mean(differences)) if differences else float("nan")
    return SameFirst(ours, theirs, 2 * len(differences), mean_difference)


def find_same_first(
    entities: Sequence[Pair], corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None
) -> Iterator[Passage]:
    """Find the first words of entities, followed by any word, at the start of sentences and inside them.

    The number of passages is limited for each entity, place in the sentence and kind of second word; each document
    gives at most one of them.
    """
    by_first: dict[str, list[int]] = defaultdict(list)
    for number, pair in enumerate(entities):
        by_first[pair.first].append(number)
    alternatives = "|".join(sorted(map(re.escape, by_first), key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)({alternatives}) ([^\W\d_]+)(?= )")
    keys = product(range(len(entities)), (True, False), (True, False))
    missing = {key: PASSAGES_OF_ENTITY if key[2] else PASSAGES_OF_OTHERS for key in keys}
    for document in every_document(corpus, tokenizer):
        taken: set[tuple[int, bool, bool]] = set()
        for found in pattern.finditer(document.text):
            first, second = found.groups()
            known = [number for number in by_first[first] if entities[number].second == second]
            before = document.text[max(0, found.start() - PASSAGE_CHARACTERS) : found.start()]
            starts = _SENTENCE_END.search(before) is not None
            for number in known or by_first[first]:
                key = number, starts, bool(known)
                if missing[key] and key not in taken:
                    taken.add(key)
                    missing[key] -= 1
                    pair = Pair(first, second, entities[number].type)
                    yield Passage(number, pair, before, starts, bool(known))
        if not any(missing.values()):
            return


def match_passages(passages: Sequence[Passage], entropies: NDArray[np.float64], entity: int) -> list[tuple[int, int]]:
    """Match an entity's passages one to one with others at the same place in a sentence and of similar entropy.

    Args:
        entropies: Entropy at the space, in nats; `[passage]`.

    Returns:
        Pairs of indices: a passage with the entity, and its match.
    """
    from scipy.optimize import linear_sum_assignment

    matched: list[tuple[int, int]] = []
    for starts in (True, False):
        mine, other = (
            [
                index
                for index, passage in enumerate(passages)
                if (passage.entity, passage.starts_sentence, passage.is_entity) == (entity, starts, is_entity)
            ]
            for is_entity in (True, False)
        )
        if mine and other:
            distance = np.abs(entropies[mine][:, None] - entropies[other][None])
            rows, columns = linear_sum_assignment(np.where(distance <= CALIPER_NATS, distance, 1e3))
            near = distance[rows, columns] <= CALIPER_NATS
            matched += [(mine[row], other[column]) for row, column in zip(rows[near], columns[near], strict=True)]
    return matched

"""Entities against other words behind the same first word: *New York* against *New laws*.

What a first word does to the increments around it is the same on both sides, and so is what the model expects behind
it: a passage is matched with one at the same place of a sentence in which the model is as uncertain at the space. What
is left is due to the second word. The increment at the space itself cannot see that word, only who expects it; so the
second word's own bytes and the space behind it are scored too. The bytes of *York* are not those of *laws*: the space
behind them is the fairer test of the two.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.measures.documents import documents_of
from howfar.measures.pairs.lists import Pair
from howfar.measures.pairs.scores import PASSAGE_CHARACTERS, SITES, Scores, scores_of
from howfar.reading import trace_many

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CALIPER_NATS = 0.2
"""The most that entropy at the space may differ between two matched passages."""
PASSAGES_OF_ENTITY = 8
PASSAGES_OF_OTHERS = 32
_SENTENCE_END = re.compile(r"(?:\A|[.!?…。！？\n][\"'”’)\]]*)\s*\Z")


@dataclass(frozen=True)
class Passage:
    """A first word and another one in a text of a corpus.

    Attributes:
        entity: The entity whose first word it is, by its number.
        pair: The two words.
        before: The text before them.
        starts_sentence: Whether the first word does.
        is_entity: Whether the second word is the entity's.
    """

    entity: int
    pair: Pair
    before: str
    starts_sentence: bool
    is_entity: bool


@dataclass(frozen=True)
class SameFirst:
    """Mean increments of matched passages.

    Attributes:
        entities: `[pair, site, layer, head]`, where the second word is the entity's; NaN where nothing matches.
        others: Where it is another word, in as many passages.
        num_passages: Matched passages, entities' and others' together.
        entropy_difference: Mean difference of entropy at the space, entities' less others', in nats.
    """

    entities: Scores
    others: Scores
    num_passages: int
    entropy_difference: float


def same_first(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, entities: Sequence[Pair], corpus: Corpus
) -> SameFirst:
    """Score entities and other words behind the same first word in matched passages of a corpus.

    Args:
        model: A model with increments.
        tokenizer: Its tokenizer, or None.
        entities: Pairs of words with a space between them.
        corpus: The held-out documents are searched first.
    """
    passages = list(find_same_first(entities, corpus, tokenizer))
    scores, entropies = [], []
    texts = (f"{passage.before}{passage.pair.text} " for passage in passages)
    for passage, trace in zip(passages, trace_many(model, texts, tokenizer), strict=True):
        scores.append(scores_of(trace, passage.before, passage.pair))
        entropies.append(trace.entropy_nats[_token_at(trace.token_bytes, _space_of(passage))])
    shape = (len(entities), *(scores[0].shape if scores else (len(SITES), 1, 1)))
    ours, theirs = np.full(shape, np.nan), np.full(shape, np.nan)
    num, differences = 0, []
    for entity in range(len(entities)):
        own = match_passages(passages, np.array(entropies), entity)
        if own:
            mine, other = zip(*own, strict=True)
            ours[entity] = np.mean([scores[index] for index in mine], axis=0)
            theirs[entity] = np.mean([scores[index] for index in other], axis=0)
            differences += [entropies[one] - entropies[two] for one, two in own]
            num += 2 * len(own)
    return SameFirst(ours, theirs, num, float(np.mean(differences)) if differences else float("nan"))


def find_same_first(
    entities: Sequence[Pair], corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None
) -> Iterator[Passage]:
    """Find first words of entities with a word behind them, at the start of sentences and inside them.

    Of each entity, place and kind of second word no more than a few are taken, at most one from a document.
    """
    by_first: dict[str, list[int]] = defaultdict(list)
    for number, pair in enumerate(entities):
        by_first[pair.first].append(number)
    alternatives = "|".join(sorted(map(re.escape, by_first), key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)({alternatives}) ([^\W\d_]+)(?= )")
    missing = {
        (number, starts, is_entity): PASSAGES_OF_ENTITY if is_entity else PASSAGES_OF_OTHERS
        for number in range(len(entities))
        for starts in (True, False)
        for is_entity in (True, False)
    }
    for split in ("held_out", "train"):
        if not getattr(corpus, split).num_documents:
            continue
        for document in documents_of(corpus, tokenizer, split=split):
            taken: set[tuple[int, bool, bool]] = set()
            for found in pattern.finditer(document.text):
                first, second = found.groups()
                known = [number for number in by_first[first] if entities[number].second == second]
                before = document.text[max(0, found.start() - PASSAGE_CHARACTERS) : found.start()]
                starts = _SENTENCE_END.search(before) is not None
                for number in known or by_first[first]:
                    key = number, starts, bool(known)
                    if missing.get(key) and key not in taken:
                        taken.add(key)
                        missing[key] -= 1
                        pair = Pair(first, second, entities[number].type)
                        yield Passage(number, pair, before, starts, bool(known))
            if not any(missing.values()):
                return


def match_passages(passages: Sequence[Passage], entropies: NDArray[np.float64], entity: int) -> list[tuple[int, int]]:
    """Pair an entity's passages with others of the same place whose entropy is alike, each used once.

    Args:
        passages: All.
        entropies: `[passage]`, at the space, in nats.
        entity: Its number.

    Returns:
        Indices of the entity's passage and of the other one.
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


def _space_of(passage: Passage) -> int:
    """The byte between the two words."""
    return len((passage.before + passage.pair.first).encode())


def _token_at(token_bytes: NDArray[np.int64], byte: int) -> int:
    return int(np.searchsorted(token_bytes[:, 1], byte, side="right"))

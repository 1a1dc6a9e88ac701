"""Bigrams that are not entities, matched to entities by their counts in a corpus.

A model that groups the parts of *New York* may only have learned that *New* predicts a continuation. The controls are
bigrams of a content word and a function word (*According to*, *German and*). They are matched on the frequency of the
first part, the frequency of the bigram, and how often the second part follows the first.

Chinese has no spaces, so only the last three characters of the first part and the first character of the second part
are counted. Candidates are runs of two or three characters between punctuation marks or function characters, followed
by a function character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.ngrams import WordCounts
from howfar.measures.pairs.lists import Pair
from howfar.text.subword_classes import FUNCTION_WORDS

FUNCTION_CHARACTERS = "的是在了和与於于为以及而也被从对等中不有将由或但并则就都又所使其该此至向把让着过之"
"""Chinese characters that are mostly function words."""

COVARIATES = ("log_first_count", "log_pair_count", "log_continuation_odds")
CALIPER = 0.3
"""The largest difference of an entity and its match in a covariate, in nats: counts differ by a factor of 1.35."""
MIN_COUNT = 10
"""Pairs that occur less often are left out: their counts are poor estimates of what a model expects."""
MIN_FOLLOWERS = 4
"""A run of Chinese characters counts as a word if at least this many function characters follow it somewhere."""
_BITS = np.uint64(16)
_NUM_CODE_POINTS = 0x110000
_CHINESE = re.compile(r"[\u3000-\u9fff\uf900-\uffef]+")

Blocks = Callable[[], Iterable[str]]
"""Returns the text of the corpus in blocks; each call starts from the beginning."""


@dataclass(frozen=True)
class Counted:
    """Pairs and their counts in a corpus.

    Attributes:
        pairs: The pairs.
        first_counts: How often the first part occurs; `[pair]`.
        pair_counts: How often the second follows the first; `[pair]`.
    """

    pairs: Sequence[Pair]
    first_counts: NDArray[np.int64]
    pair_counts: NDArray[np.int64]

    def selected(self, indices: NDArray[np.int64]) -> Counted:
        """The pairs with these indices, in their order."""
        return Counted([self.pairs[i] for i in indices.tolist()], self.first_counts[indices], self.pair_counts[indices])

    def covariates(self) -> NDArray[np.float64]:
        """`[pair, covariate]`, in nats, in the order of `COVARIATES`."""
        first, both = self.first_counts.astype(np.float64), self.pair_counts.astype(np.float64)
        return np.stack([np.log(first), np.log(both), np.log((both + 0.5) / (first - both + 0.5))], axis=1)


@dataclass(frozen=True)
class Matching:
    """Entities and their matched bigrams.

    Attributes:
        entities: The entities that have a match.
        controls: Their matches, in the same order; no bigram is used twice.
        before: By covariate, the standardised mean difference between all entities and all candidates.
        after: The same after matching.
    """

    entities: Counted
    controls: Counted
    before: dict[str, float]
    after: dict[str, float]

    @property
    def largest_imbalance(self) -> float:
        """The largest standardised mean difference after matching; below 0.1 counts as balanced."""
        return max(abs(difference) for difference in self.after.values())

    def table(self) -> pl.DataFrame:
        """One row per entity and its match, with their counts."""
        columns: dict[str, object] = {"type": [pair.type for pair in self.entities.pairs]}
        for name, side in (("entity", self.entities), ("control", self.controls)):
            columns[name] = [pair.text for pair in side.pairs]
            columns[f"{name}_first_count"] = side.first_counts
            columns[f"{name}_count"] = side.pair_counts
            columns[f"{name}_continuation"] = side.pair_counts / side.first_counts
        return pl.DataFrame(columns)


def match(entities: Counted, candidates: Counted, stratum: Callable[[Pair], object]) -> Matching:
    """Match entities with candidates one to one, with the smallest total distance (optimal matching with calipers).

    Args:
        entities: The entities.
        candidates: The candidates; each is used at most once.
        stratum: An entity and its match must have the same value of this function.

    Raises:
        NotMeasurableError: No entity has a match.

    Source:
        Rosenbaum & Rubin 1985, "Constructing a control group using multivariate matched sampling methods" (calipers).
    """
    from scipy.optimize import linear_sum_assignment

    entities = entities.selected(np.flatnonzero(entities.pair_counts >= MIN_COUNT))
    if not len(entities.pairs) or not len(candidates.pairs):
        raise NotMeasurableError(
            f"{len(entities.pairs)} of the entities and {len(candidates.pairs)} other bigrams occur {MIN_COUNT} "
            "times in the training corpus; give the corpus that the model was trained on, or other pairs"
        )
    ours, theirs = entities.covariates(), candidates.covariates()
    difference = np.abs(ours[:, None] - theirs[None])
    strata = [np.array([hash(stratum(pair)) for pair in side.pairs]) for side in (entities, candidates)]
    allowed = (difference <= CALIPER).all(axis=-1) & (strata[0][:, None] == strata[1][None])
    rows, columns = linear_sum_assignment(np.where(allowed, difference.mean(axis=-1), 1e3))
    matched = allowed[rows, columns]
    rows, columns = rows[matched], columns[matched]
    if not len(rows):
        raise NotMeasurableError(
            f"none of {len(entities.pairs)} entities matches one of {len(candidates.pairs)} bigrams; "
            "give a larger corpus or other pairs"
        )
    return Matching(
        entities.selected(rows),
        candidates.selected(columns),
        _imbalance(ours, theirs),
        _imbalance(ours[rows], theirs[columns]),
    )


def _imbalance(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float]:
    """Standardised mean differences (in pooled standard deviations), by covariate."""
    pooled = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 2)
    differences = (ours.mean(axis=0) - theirs.mean(axis=0)) / np.maximum(pooled, 1e-9)
    return dict(zip(COVARIATES, differences.tolist(), strict=True))


def match_english(pairs: Sequence[Pair], blocks: Blocks) -> Matching:
    """Match English entities; an entity and its match both begin with a capital letter, or both do not.

    Args:
        pairs: The entities.
        blocks: The training corpus.

    Raises:
        NotMeasurableError: No entity has a match.
    """
    names = {pair.first for pair in pairs}

    def is_candidate(first: str, second: str) -> bool:
        return second in FUNCTION_WORDS and first.lower() not in FUNCTION_WORDS and first not in names

    known = {(pair.first, pair.second) for pair in pairs}
    counts = WordCounts.of(
        _without_chinese(blocks()), lambda first, second: is_candidate(first, second) or (first, second) in known
    )

    def counted(some: Sequence[Pair]) -> Counted:
        first_counts = np.array([counts.words[pair.first] for pair in some])
        return Counted(some, first_counts, np.array([counts.pairs[pair.first, pair.second] for pair in some]))

    candidates = [
        Pair(first, second, "none")
        for (first, second), count in counts.pairs.items()
        if count >= MIN_COUNT and is_candidate(first, second)
    ]
    return match(counted(pairs), counted(candidates), lambda pair: pair.first[0].isupper())


def match_chinese(pairs: Sequence[Pair], blocks: Blocks) -> Matching:
    """Match Chinese entities; the second parts of an entity and its match have the same first byte.

    Args:
        pairs: The entities.
        blocks: The training corpus; read twice.

    Raises:
        NotMeasurableError: No entity has a match.
    """
    names = {pair.first for pair in pairs}
    candidates = [Pair(text[:-1], text[-1], "none") for text in _isolated_runs(blocks()) if text[:-1] not in names]
    everything = [*pairs, *candidates]
    firsts = [pair.first[-3:] for pair in everything]
    wholes = [first + pair.second[0] for first, pair in zip(firsts, everything, strict=True)]
    counted = Counted(everything, *np.split(_count(blocks(), [*firsts, *wholes]), 2))
    entities, others = np.split(np.arange(len(everything)), [len(pairs)])
    return match(counted.selected(entities), counted.selected(others), lambda pair: pair.second.encode()[0])


def _without_chinese(blocks: Iterable[str]) -> Iterator[str]:
    """Blocks without runs of Chinese characters, which would be taken for words."""
    return (_CHINESE.sub("\n", block) for block in blocks)


def _code_points(block: str) -> NDArray[np.uint64]:
    return np.frombuffer(block.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)


def _keys(characters: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Every run of `length` characters (at most four, each below 2**16), packed into a number; `[start]`."""
    packed = np.zeros(max(0, len(characters) - length + 1), dtype=np.uint64)
    for offset in range(length):
        packed = packed << _BITS | characters[offset : offset + len(packed)]
    return packed


def _isolated_runs(blocks: Iterable[str]) -> list[str]:
    """Runs of two or three Chinese characters between boundaries, each with the function character after it."""
    functions = np.array([ord(character) for character in FUNCTION_CHARACTERS], dtype=np.uint64)
    parts: dict[int, list[NDArray[np.uint64]]] = {3: [], 4: []}
    for block in blocks:
        points = _code_points(f"\n{block}\n")
        is_function = np.isin(points, functions)
        is_content = (points >= 0x4E00) & (points <= 0x9FFF) & ~is_function
        for length, found in parts.items():
            size = len(points) - length
            is_isolated = ~is_content[:size] & is_function[length : length + size]
            for offset in range(1, length):
                is_isolated &= is_content[offset : offset + size]
            found.append(_keys(points, length)[1:][is_isolated])
    texts = []
    for length, found in parts.items():
        keys, counts = np.unique(np.concatenate(found) if found else np.empty(0, np.uint64), return_counts=True)
        # A run that only occurs before one function character may be the beginning of a longer word.
        _, which, num_followers = np.unique(keys >> _BITS, return_inverse=True, return_counts=True)
        for key in keys[(counts >= MIN_COUNT) & (num_followers[which] >= MIN_FOLLOWERS)].tolist():
            texts.append("".join(chr(key >> 16 * place & 0xFFFF) for place in reversed(range(length))))
    return texts


def _count(blocks: Iterable[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """How often each text of up to four characters occurs; `[text]`."""
    totals = np.zeros(len(texts), dtype=np.int64)
    # Only the characters of the texts are numbered: code points have up to 21 bits, too many to pack four into 64.
    numbers = np.zeros(_NUM_CODE_POINTS, dtype=np.uint64)
    alphabet = np.unique(_code_points("".join(texts)))
    numbers[alphabet] = np.arange(1, len(alphabet) + 1)
    by_length: dict[int, tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]] = {}
    for length in {len(text) for text in texts}:
        members = np.array([index for index, text in enumerate(texts) if len(text) == length])
        packed = [_keys(numbers[_code_points(texts[index])], length)[0] for index in members]
        keys, which = np.unique(np.array(packed, dtype=np.uint64), return_inverse=True)
        by_length[length] = members, keys, which
    counts = {length: np.zeros(len(keys), dtype=np.int64) for length, (_, keys, _) in by_length.items()}
    for block in blocks:
        points = numbers[_code_points(block)]
        for length, (_, keys, _) in by_length.items():
            seen = _keys(points, length)
            places = np.minimum(np.searchsorted(keys, seen), len(keys) - 1)
            counts[length] += np.bincount(places[keys[places] == seen], minlength=len(keys))
    for length, (members, _, which) in by_length.items():
        totals[members] = counts[length][which]
    return totals

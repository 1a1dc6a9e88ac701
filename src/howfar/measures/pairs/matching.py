"""Bigrams that are no entities, matched to entities by what a corpus says about them.

A model that groups the parts of *New York* may only have learned that after *New* something is due. The control is
bigrams of a content word and a function word (*According to*, *German and*), which nobody would call an entity, whose
first part is as frequent, which are as frequent themselves, and whose second part follows the first as often.

In Chinese, which has no spaces, a part is up to three characters: the first part's last three, and the second part's
first. Candidates are stretches of two or three characters that stand by themselves, between punctuation or function
words, before a function word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.ngrams import WordCounts
from howfar.measures.pairs.lists import Pair
from howfar.text.subword_classes import FUNCTION_WORDS

if TYPE_CHECKING:
    import polars as pl

FUNCTION_CHARACTERS = "的是在了和与於于为以及而也被从对等中不有将由或但并则就都又所使其该此至向把让着过之"
"""Chinese characters that are mostly words of grammar by themselves."""

COVARIATES = ("log_first_count", "log_pair_count", "log_continuation_odds")
CALIPER = 0.3
"""The most that an entity and its match may differ in a covariate, in nats: counts by a factor of 1.35."""
SMALLEST_COUNT = 10
"""Rarer pairs say little about what a model expects."""
FEWEST_FOLLOWERS = 4
"""Function characters behind which a stretch of Chinese characters has to be seen to count as a word."""
_BITS = np.uint64(16)
_NUM_CODE_POINTS = 0x110000
_CHINESE = re.compile(r"[\u3000-\u9fff\uf900-\uffef]+")

Blocks = Callable[[], Iterable[str]]
"""Reads the corpus anew at each call."""


@dataclass(frozen=True)
class Counted:
    """Pairs and what a corpus says about each.

    Attributes:
        pairs: The pairs.
        first_counts: How often the first part occurs; `[pair]`.
        pair_counts: How often the second follows the first; `[pair]`.
    """

    pairs: Sequence[Pair]
    first_counts: NDArray[np.int64]
    pair_counts: NDArray[np.int64]

    def kept(self, keep: NDArray[np.bool_]) -> Counted:
        """Those pairs that a mask keeps."""
        pairs = [self.pairs[index] for index in np.flatnonzero(keep).tolist()]
        return Counted(pairs, self.first_counts[keep], self.pair_counts[keep])

    def covariates(self) -> NDArray[np.float64]:
        """`[pair, covariate]`, in the order of `COVARIATES`; in nats."""
        first, both = self.first_counts.astype(np.float64), self.pair_counts.astype(np.float64)
        return np.stack([np.log(first), np.log(both), np.log((both + 0.5) / (first - both + 0.5))], axis=1)


@dataclass(frozen=True)
class Matching:
    """Entities and the bigrams that stand against them.

    Attributes:
        entities: Entities for which there was a match.
        controls: Their matches, in the same order; no bigram is used twice.
        before: Standardised mean difference of all entities from all candidates, by covariate.
        after: That of the matched ones.
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
        """One row per entity: it and its match, with their counts."""
        import polars as pl

        columns: dict[str, object] = {"type": [pair.type for pair in self.entities.pairs]}
        for name, side in (("entity", self.entities), ("control", self.controls)):
            columns[name] = [pair.text for pair in side.pairs]
            columns[f"{name}_first_count"] = side.first_counts
            columns[f"{name}_count"] = side.pair_counts
            columns[f"{name}_continuation"] = side.pair_counts / side.first_counts
        return pl.DataFrame(columns)


def match(entities: Counted, candidates: Counted, stratum: Callable[[Pair], object]) -> Matching:
    """Find each entity's nearest candidate, such that the distances of all together are least.

    Args:
        entities: What to match.
        candidates: What may be matched; each at most once.
        stratum: What an entity and its match must have in common exactly.

    Raises:
        NotMeasurableError: No entity has a match.

    Source:
        Rosenbaum & Rubin 1985, "Constructing a control group using multivariate matched sampling methods" (calipers).
    """
    from scipy.optimize import linear_sum_assignment

    entities = entities.kept(entities.pair_counts >= SMALLEST_COUNT)
    if not len(entities.pairs) or not len(candidates.pairs):
        raise NotMeasurableError(
            f"{len(entities.pairs)} of the entities and {len(candidates.pairs)} other bigrams occur {SMALLEST_COUNT} "
            "times in the training corpus; give the corpus that the model was trained on, or other pairs"
        )
    ours, theirs = entities.covariates(), candidates.covariates()
    difference = np.abs(ours[:, None] - theirs[None])
    strata = [np.array([hash(stratum(pair)) for pair in side.pairs]) for side in (entities, candidates)]
    allowed = (difference <= CALIPER).all(axis=-1) & (strata[0][:, None] == strata[1][None])
    cost = np.where(allowed, difference.mean(axis=-1), 1e3)
    rows, columns = linear_sum_assignment(cost)
    found = allowed[rows, columns]
    rows, columns = rows[found], columns[found]
    if not len(rows):
        raise NotMeasurableError(
            f"none of {len(entities.pairs)} entities has a bigram like it among {len(candidates.pairs)}; "
            "give a larger corpus or other pairs"
        )
    is_matched = np.isin(np.arange(len(entities.pairs)), rows)
    chosen = Counted(
        [candidates.pairs[i] for i in columns], candidates.first_counts[columns], candidates.pair_counts[columns]
    )
    return Matching(
        entities.kept(is_matched),
        chosen,
        _imbalance(ours, theirs),
        _imbalance(ours[rows], theirs[columns]),
    )


def _imbalance(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float]:
    """Differences of the means in pooled standard deviations, by covariate."""
    pooled = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 2)
    differences = (ours.mean(axis=0) - theirs.mean(axis=0)) / np.maximum(pooled, 1e-9)
    return dict(zip(COVARIATES, differences.tolist(), strict=True))


def match_english(pairs: Sequence[Pair], blocks: Blocks) -> Matching:
    """Match entities of words; first words are matched with first words that begin with a capital likewise.

    Args:
        pairs: Entities.
        blocks: The training corpus.
    """
    names = {pair.first for pair in pairs}

    def is_candidate(first: str, second: str) -> bool:
        return second in FUNCTION_WORDS and first.lower() not in FUNCTION_WORDS and first not in names

    known = {(pair.first, pair.second) for pair in pairs}
    counts = WordCounts.of(
        _without_chinese(blocks()), lambda first, second: is_candidate(first, second) or (first, second) in known
    )
    entities = Counted(
        pairs,
        np.array([counts.words[pair.first] for pair in pairs]),
        np.array([counts.pairs[pair.first, pair.second] for pair in pairs]),
    )
    others = [
        Pair(first, second, "none")
        for (first, second), count in counts.pairs.items()
        if count >= SMALLEST_COUNT and is_candidate(first, second)
    ]
    candidates = Counted(
        others,
        np.array([counts.words[pair.first] for pair in others]),
        np.array([counts.pairs[pair.first, pair.second] for pair in others]),
    )
    return match(entities, candidates, lambda pair: pair.first[0].isupper())


def match_chinese(pairs: Sequence[Pair], blocks: Blocks) -> Matching:
    """Match entities of Chinese characters; second parts are matched with ones of the same first byte.

    Args:
        pairs: Entities.
        blocks: The training corpus; read twice.
    """
    names = {pair.first for pair in pairs}
    others = [Pair(text[:-1], text[-1], "none") for text in _stand_alone(blocks()) if text[:-1] not in names]
    both = [*pairs, *others]
    firsts = [pair.first[-3:] for pair in both]
    wholes = [first + pair.second[0] for first, pair in zip(firsts, both, strict=True)]
    first_counts, pair_counts = np.split(_count(blocks(), [*firsts, *wholes]), 2)
    split = len(pairs)
    return match(
        Counted(pairs, first_counts[:split], pair_counts[:split]),
        Counted(others, first_counts[split:], pair_counts[split:]),
        lambda pair: pair.second.encode()[0],
    )


def _without_chinese(blocks: Iterable[str]) -> Iterator[str]:
    """Blocks in which no long run of Chinese characters can be taken for a word."""
    return (_CHINESE.sub("\n", block) for block in blocks)


def _code_points(block: str) -> NDArray[np.uint64]:
    return np.frombuffer(block.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)


def _keys(characters: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Every stretch of up to four characters below 2**16, packed into a number; `[start]`."""
    packed = np.zeros(max(0, len(characters) - length + 1), dtype=np.uint64)
    for offset in range(length):
        packed = packed << _BITS | characters[offset : offset + len(packed)]
    return packed


def _stand_alone(blocks: Iterable[str]) -> list[str]:
    """Stretches of two or three characters between two boundaries, with the function character behind them."""
    functions = np.array([ord(character) for character in FUNCTION_CHARACTERS], dtype=np.uint64)
    parts: dict[int, list[NDArray[np.uint64]]] = {3: [], 4: []}
    for block in blocks:
        points = _code_points(f"\n{block}\n")
        is_function = np.isin(points, functions)
        is_content = (points >= 0x4E00) & (points <= 0x9FFF) & ~is_function
        for length, found in parts.items():
            size = len(points) - length
            stands = ~is_content[:size] & is_function[length : length + size]
            for offset in range(1, length):
                stands &= is_content[offset : offset + size]
            found.append(_keys(points, length)[1:][stands])
    texts = []
    for length, found in parts.items():
        keys, counts = np.unique(np.concatenate(found) if found else np.empty(0, np.uint64), return_counts=True)
        # What only ever stands before one of them may be the beginning of a longer word.
        _, which, num_followers = np.unique(keys >> _BITS, return_inverse=True, return_counts=True)
        for key in keys[(counts >= SMALLEST_COUNT) & (num_followers[which] >= FEWEST_FOLLOWERS)].tolist():
            texts.append("".join(chr(key >> 16 * place & 0xFFFF) for place in reversed(range(length))))
    return texts


def _count(blocks: Iterable[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """How often each text of up to four characters occurs; `[text]`."""
    totals = np.zeros(len(texts), dtype=np.int64)
    # Characters are numbered among those asked for: a code point can have 21 bits, and four of them would not fit.
    numbers = np.zeros(_NUM_CODE_POINTS, dtype=np.uint64)
    asked = np.unique(_code_points("".join(texts)))
    numbers[asked] = np.arange(1, len(asked) + 1)
    by_length: dict[int, tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]] = {}
    for length in {len(text) for text in texts}:
        members = np.array([index for index, text in enumerate(texts) if len(text) == length])
        own = np.array(
            [int(_keys(numbers[_code_points(texts[index])], length)[0]) for index in members], dtype=np.uint64
        )
        keys, which = np.unique(own, return_inverse=True)
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

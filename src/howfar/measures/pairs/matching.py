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
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
_CHINESE = re.compile(r"[\u3000-\u9fff\uf900-\uffef]+")

Blocks = Callable[[], Iterable[str]]
"""Returns the text of the corpus in blocks; each call starts from the beginning."""


@dataclass(frozen=True)
class Counted:
    """Pairs and their counts in a corpus."""

    pairs: Sequence[Pair]
    first_counts: NDArray[np.int64]  # how often the first part occurs; `[pair]`
    pair_counts: NDArray[np.int64]  # how often the second follows the first; `[pair]`

    def selected(self, indices: NDArray[np.int64]) -> Counted:
        """The pairs with these indices, in their order."""
        return Counted([self.pairs[i] for i in indices.tolist()], self.first_counts[indices], self.pair_counts[indices])

    def covariates(self) -> NDArray[np.float64]:
        """`[pair, covariate]`, in nats, in the order of `COVARIATES`."""
        first, both = self.first_counts.astype(np.float64), self.pair_counts.astype(np.float64)
        return np.stack([np.log(first), np.log(both), np.log((both + 0.5) / (first - both + 0.5))], axis=1)


@dataclass(frozen=True)
class Matching:
    """Entities and their matched bigrams."""

    entities: Counted  # those that have a match
    controls: Counted  # their matches, in the same order; no bigram is used twice
    before: dict[str, float]  # by covariate, the standardised mean difference between all entities and all candidates
    after: dict[str, float]  # the same after matching

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
    """Match English entities; an entity and its match both begin with a capital letter, or both do not."""
    names = {pair.first for pair in pairs}

    def is_candidate(first: str, second: str) -> bool:
        return second in FUNCTION_WORDS and first.lower() not in FUNCTION_WORDS and first not in names

    known = {(pair.first, pair.second) for pair in pairs}
    # Runs of Chinese characters would be taken for words.
    counts = WordCounts.of(
        (_CHINESE.sub("\n", block) for block in blocks()),
        lambda first, second: is_candidate(first, second) or (first, second) in known,
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
    """Match Chinese entities, reading the corpus twice; the second parts of a match have the same first byte."""
    names = {pair.first for pair in pairs}
    candidates = [Pair(text[:-1], text[-1], "none") for text in _isolated_runs(blocks()) if text[:-1] not in names]
    everything = [*pairs, *candidates]
    firsts = [pair.first[-3:] for pair in everything]
    wholes = [first + pair.second[0] for first, pair in zip(firsts, everything, strict=True)]
    counted = Counted(everything, *np.split(_count(blocks(), [*firsts, *wholes]), 2))
    entities, others = np.split(np.arange(len(everything)), [len(pairs)])
    return match(counted.selected(entities), counted.selected(others), lambda pair: pair.second.encode()[0])


def _isolated_runs(blocks: Iterable[str]) -> list[str]:
    """Runs of two or three Chinese characters between boundaries, each with the function character after it."""
    content = "".join(
        character for character in map(chr, range(0x4E00, 0xA000)) if character not in FUNCTION_CHARACTERS
    )
    pattern = re.compile(f"(?<![{content}])([{content}]{{2,3}})([{FUNCTION_CHARACTERS}])")
    counts = Counter(found for block in blocks for found in pattern.findall(block))
    # A run that only occurs before one function character may be the beginning of a longer word.
    num_followers = Counter(run for run, _ in counts)
    kept = (pair for pair, num in counts.items() if num >= MIN_COUNT and num_followers[pair[0]] >= MIN_FOLLOWERS)
    return sorted(map("".join, kept), key=lambda text: (len(text), text))


def _count(blocks: Iterable[str], texts: Sequence[str]) -> NDArray[np.int64]:
    """How often each text occurs, overlaps included; `[text]`."""
    totals: Counter[str] = Counter()
    wanted = list(dict.fromkeys(texts))
    for block in blocks:
        found = pl.Series([block]).str.extract_many(wanted, overlapping=True).explode()
        totals.update(dict(found.value_counts().iter_rows()))
    return np.array([totals[text] for text in texts])

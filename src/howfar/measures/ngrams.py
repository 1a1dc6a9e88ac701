"""Corpus statistics of neighbouring characters and words: baselines and controls that use no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Keys = NDArray[np.uint64]
"""n-grams of up to three characters, 21 bits each, the last character lowest."""

_BITS = np.uint64(21)  # code points end at 0x10FFFF
_TWO = np.uint64(2**42 - 1)  # the last two characters of a trigram
_MOST_UNMERGED = 8_000_000
_NUM_CODE_POINTS = 0x110000
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[\d_]+|[^\w\s]+|\n")  # words, and what stands between words


@dataclass(frozen=True)
class GapStatistics:
    """Corpus statistics of gaps between characters, in nats; each `[gap]`.

    For a pair of characters that never occurs, the entropy is that given the one at the gap alone.
    """

    pmi: Array  # pointwise mutual information of the two characters, with 1 added to their count
    entropy_after: Array  # of the next character, given the two before the gap
    entropy_before: Array  # of the character before, given the two after the gap
    num_characters: int  # characters read

    @property
    def branching_entropy(self) -> Array:
        """How uncertain the text is on both sides of the gap.

        Source:
            Jin & Tanaka-Ishii 2006, "Unsupervised segmentation of Chinese text by use of branching entropy".
        """
        return self.entropy_after + self.entropy_before


def gap_statistics(blocks: Iterable[str], gaps: NDArray[np.uint32]) -> GapStatistics:
    """Count a corpus, and look up some gaps.

    Args:
        blocks: The corpus, or a sample of it; only trigrams around the gaps' characters are kept.
        gaps: `[gap, 4]`, code points of the two characters before each gap and the two after it; 0 beyond the text.
    """
    asked = np.zeros(_NUM_CODE_POINTS, dtype=bool)
    asked[gaps[:, 1:3]] = True
    singles, three = np.zeros(_NUM_CODE_POINTS, dtype=np.int64), Counts.none()
    for block in blocks:
        text = np.frombuffer(f"\0{block}\0".encode("utf-32-le"), dtype=np.uint32)
        singles += np.bincount(text, minlength=_NUM_CODE_POINTS)
        windows = np.lib.stride_tricks.sliding_window_view(text, 3)
        three = three.and_of(_keys(windows[asked[windows[:, 1]]]))
    three = three.merged()
    num_characters = int(singles[1:].sum())
    pairs = three.by(three.keys & _TWO)
    together = _look_up(pairs.keys, pairs.counts, _keys(gaps[:, 1:3]), default=0)
    expected = (singles[gaps[:, 1]] + 1.0) * (singles[gaps[:, 2]] + 1.0) / max(num_characters, 1)
    return GapStatistics(
        pmi=np.log((together + 1) / expected),
        entropy_after=_continuation_entropy(three, gaps[:, :2]),
        entropy_before=_continuation_entropy(three.by(_turned(three.keys)), gaps[:, :1:-1]),
        num_characters=num_characters,
    )


@dataclass(frozen=True)
class Counts:
    """Counts of n-grams."""

    keys: Keys  # the n-grams, ascending and unique once `merged`
    counts: NDArray[np.int64]  # of each
    unmerged: tuple[tuple[Keys, NDArray[np.int64]], ...] = ()  # more keys and counts

    @classmethod
    def none(cls) -> Counts:
        """Before counting."""
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.int64))

    def and_of(self, keys: Keys) -> Counts:
        """With more n-grams; merged from time to time, so that few are held more than once."""
        found = Counts(self.keys, self.counts, (*self.unmerged, np.unique(keys, return_counts=True)))
        waiting = sum(len(some) for some, _ in found.unmerged)
        return found.merged() if waiting > max(_MOST_UNMERGED, len(self.keys)) else found

    def merged(self) -> Counts:
        """With each n-gram once."""
        keys = np.concatenate([self.keys, *(keys for keys, _ in self.unmerged)])
        counts = np.concatenate([self.counts, *(counts for _, counts in self.unmerged)])
        return Counts(keys, counts).by(keys)

    def by(self, keys: Keys) -> Counts:
        """Counts of shortened keys, one per n-gram; equal keys are added up."""
        if not len(keys):
            return Counts.none()
        order = np.argsort(keys)
        ascending = keys[order]
        starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
        return Counts(ascending[starts], np.add.reduceat(self.counts[order], starts))


def _continuation_entropy(three: Counts, contexts: NDArray[np.uint32]) -> Array:
    """Entropy of the third of three characters given the first two, for contexts `[gap, 2]`."""
    given_one = _entropies(three.by(three.keys & _TWO), _keys(contexts[:, 1:]), default=0.0)
    return _entropies(three, _keys(contexts), default=given_one)


def _entropies(ngrams: Counts, contexts: Keys, default: float | Array) -> Array:
    """Entropy of the n-grams' last character given the others, in nats; `default` for a context that never occurs."""
    counts, of_context = ngrams.counts, ngrams.keys >> _BITS
    starts = np.flatnonzero(np.diff(of_context, prepend=np.uint64(2**63)))
    if not len(starts):
        return np.broadcast_to(np.asarray(default, np.float64), contexts.shape).copy()
    totals = np.add.reduceat(counts, starts)
    entropies = np.log(totals) - np.add.reduceat(counts * np.log(counts), starts) / totals
    return _look_up(of_context[starts], entropies, contexts, default)


def _look_up(keys: Keys, values: NDArray[np.generic], wanted: Keys, default: float | Array) -> Array:
    """The values of wanted keys, looked up in sorted ones."""
    if not len(keys):
        return np.broadcast_to(np.asarray(default, np.float64), wanted.shape).copy()
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], default).astype(np.float64)


def _keys(characters: NDArray[np.uint32] | NDArray[np.uint64]) -> Keys:
    """Pack n-grams `[gram, character]` into one number each."""
    packed = np.zeros(len(characters), dtype=np.uint64)
    for column in characters.T:
        packed = packed << _BITS | column.astype(np.uint64)
    return packed


def _turned(keys: Keys) -> Keys:
    """Trigrams reversed."""
    one = np.uint64(2**21 - 1)
    return (keys & one) << _BITS << _BITS | (keys >> _BITS & one) << _BITS | keys >> _BITS >> _BITS


@dataclass(frozen=True)
class WordCounts:
    """Counts of words and pairs of neighbouring words in a sample of a corpus, case-sensitive."""

    words: Counter[str]
    pairs: Counter[tuple[str, str]]  # with only blanks between them

    @classmethod
    def of(cls, blocks: Iterable[str], wanted: Callable[[str, str], bool] | None = None) -> WordCounts:
        """Count words that are separated by blanks, as in English.

        Args:
            blocks: The corpus, or a sample of it.
            wanted: Whether to count a pair; skipping others saves memory. None for all pairs.
        """
        words: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for block in blocks:
            found = _WORD.findall(block)
            words.update(found)
            neighbours = pairwise(found)
            pairs.update(neighbours if wanted is None else (pair for pair in neighbours if wanted(*pair)))
        for mark in [word for word in words if not word[0].isalpha()]:
            del words[mark]
        for pair in [pair for pair in pairs if not (pair[0][0].isalpha() and pair[1][0].isalpha())]:
            del pairs[pair]
        return cls(words, pairs)

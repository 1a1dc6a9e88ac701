"""Boundaries to look for, and the gaps between characters among which they are looked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures.documents import documents_of
from howfar.text.classes import is_chinese_character
from howfar.text.segmentation import Segmentation, jieba_segment, sentence_segmentation, word_segmentation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_DOCUMENTS = 256
FIRST_CHARACTERS = 1000
"""Characters of a document from which its number of gaps is estimated."""

Candidates = Callable[[str], NDArray[np.bool_]]
"""From a text to whether the gap before each character counts."""

_END_MARKS = frozenset(".!?…。！？\n")
_CLOSING = frozenset("\"'”’»)]」』）】》")


@dataclass(frozen=True)
class Target:
    """A kind of boundary."""

    name: str
    question: str  # what is asked of a gap
    segment: Callable[[str], Segmentation]  # finds the boundaries where no gold segmentation is given
    candidates: Candidates  # the gaps that are asked about
    absent: str  # what a text without candidates lacks, in words
    baseline: tuple[str, Candidates] | None = None  # a simple rule to compare with, and its name


def inside_chinese(text: str) -> NDArray[np.bool_]:
    """Gaps between two Chinese characters."""
    chinese = np.fromiter(map(is_chinese_character, text), dtype=bool, count=len(text))
    return chinese & np.append(False, chinese[:-1])


def before_visible(text: str) -> NDArray[np.bool_]:
    """Gaps before a character that is not blank."""
    visible = ~np.fromiter(map(str.isspace, text), dtype=bool, count=len(text))
    visible[:1] = False
    return visible


def before_words(text: str) -> NDArray[np.bool_]:
    """Gaps at which a word begins."""
    starts = np.zeros(len(text), dtype=bool)
    starts[list(word_segmentation(text).boundaries)] = True
    return starts


def after_end_mark(text: str) -> NDArray[np.bool_]:
    """Places where the last character before, except blanks and closing quotes or brackets, ends a sentence or line."""
    found = np.zeros(len(text), dtype=bool)
    ended = False
    for place, character in enumerate(text):
        found[place] = ended
        if character in _END_MARKS:
            ended = True
        elif not (character.isspace() or character in _CLOSING):
            ended = False
    return found


def anywhere(text: str) -> NDArray[np.bool_]:
    """All gaps."""
    return np.arange(len(text)) > 0


def delimiter_segmentation(text: str) -> Segmentation:
    """Every blank and every punctuation mark begins a unit; letters and digits never do."""
    return Segmentation(text, tuple(i for i, c in enumerate(text) if i and not c.isalnum()))


TARGETS = {
    target.name: target
    for target in (
        Target(
            "chinese-words",
            "inside runs of Chinese characters: does a word begin here?",
            jieba_segment,
            inside_chinese,
            "two Chinese characters side by side",
        ),
        Target(
            "words",
            "before characters that are not blank: does a word or a run of punctuation begin here?",
            word_segmentation,
            before_visible,
            "two characters",
        ),
        Target(
            "sentences",
            "where words begin: does a sentence begin here?",
            sentence_segmentation,
            before_words,
            "two words",
            ("the last mark is a full stop or line end", after_end_mark),
        ),
        Target(
            "delimiters",
            "everywhere: is the next character a blank or a punctuation mark?",
            delimiter_segmentation,
            anywhere,
            "two characters",
        ),
    )
}


def target_named(name: str) -> Target:
    """The target of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in TARGETS:
        raise ConfigError(f"there is no target {name!r}; choose from {', '.join(TARGETS)}")
    return TARGETS[name]


def segmented(
    texts: Corpus | Sequence[str], tokenizer: PreTrainedTokenizerBase, target: Target, max_gaps: int, seed: int
) -> Iterator[Segmentation]:
    """Beginnings of documents, in random order, with the boundaries that the target's rule finds.

    Their length is chosen so that all of them together have about `max_gaps` gaps, because an interval needs many
    documents rather than long ones.
    """
    documents = documents_of(texts, tokenizer, num_documents=MOST_DOCUMENTS)
    found = [document for document in documents if document.text]
    gaps_per_character = sum(target.candidates(document.text[:FIRST_CHARACTERS]).mean() for document in found)
    length = math.ceil(max_gaps / max(gaps_per_character, 1e-9))
    for number in np.random.default_rng(seed).permutation(len(found)).tolist():
        yield replace(target.segment(found[number].text[:length]), source=found[number].source)

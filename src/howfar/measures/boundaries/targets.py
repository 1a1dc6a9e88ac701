"""Boundaries to look for, and the gaps between characters among which they are looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from howfar.errors import ConfigError
from howfar.text.classes import is_chinese_character
from howfar.text.segmentation import (
    Segmentation,
    jieba_segment,
    sentence_segmentation,
    word_segmentation,
)

Candidates = Callable[[str], NDArray[np.bool_]]
"""From a text to whether the gap before each character counts."""

_END_MARKS = frozenset(".!?…。！？\n")
_CLOSING = frozenset("\"'”’»)]」』）】》")


@dataclass(frozen=True)
class Target:
    """A kind of boundary.

    Attributes:
        name: Short name.
        question: What is asked of a gap.
        segment: Finds the boundaries where no gold segmentation is given.
        candidates: The gaps that are asked about.
        absent: What a text without candidates lacks, in words.
        baseline: A simple rule to compare with, and its name; None if the target has none.
    """

    name: str
    question: str
    segment: Callable[[str], Segmentation]
    candidates: Candidates
    absent: str
    baseline: tuple[str, Candidates] | None = None


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

"""Indirect indexing: a string of distinct characters, and questions for the character so many places from another.

A document is the string and a question on each line after it:

    kQzmfTbe
    z+2=f
    T-1+3=e

`z+2=f`: the second character after z is f. With several hops the answer of each is the source of the next, and only the
last answer is written: before T is f, and the third character after f is e. All hops stay in the string.

Source:
    Gopalakrishnan et al. 2025, arXiv:2509.10534, "indirect indexing"; documents of another form ask the same questions.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from howfar.errors import ConfigError

ALPHABET = string.ascii_letters
MOST_OFFSET = 9
_QUESTION = re.compile(r"([A-Za-z])((?:[+-][1-9])+)=([A-Za-z])")
_OFFSET = re.compile(r"[+-][1-9]")


@dataclass(frozen=True, kw_only=True)
class IndexingTask:
    """What the documents of a task are like.

    Attributes:
        length: The most characters of a string; a string has half as many to this many.
        largest_offset: The farthest that a hop goes, to the left or right.
        hops: The most hops of a question; each number from one to this many is as likely.
        questions: Questions in a document.

    Raises:
        ConfigError: A value is out of range.
    """

    length: int = 40
    largest_offset: int = 9
    hops: int = 2
    questions: int = 10

    def __post_init__(self) -> None:
        if not 6 <= self.length <= len(ALPHABET):
            raise ConfigError(
                f"strings have up to {self.length} characters; give 6 to {len(ALPHABET)}, since each is another letter"
            )
        if not 2 <= self.largest_offset <= MOST_OFFSET:
            raise ConfigError(f"the largest offset is {self.largest_offset}; give 2 to {MOST_OFFSET}")
        for name in ("hops", "questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give 1 or more")

    def documents(self, seed: int) -> Iterator[str]:
        """Documents without end; the same for the same seed."""
        generator = random.Random(seed)
        while True:
            length = generator.randint(self.length // 2, self.length)
            characters = "".join(generator.sample(ALPHABET, length))
            questions = [self._question(characters, generator) for _ in range(self.questions)]
            yield "\n".join([characters, *questions])

    def _question(self, characters: str, generator: random.Random) -> str:
        places = [generator.randrange(len(characters))]
        for _ in range(generator.randint(1, self.hops)):
            here = places[-1]
            near = range(max(0, here - self.largest_offset), min(len(characters), here + self.largest_offset + 1))
            # A hop back to where the first began would be answered by repeating the source.
            places.append(generator.choice([place for place in near if place not in (places[0], here)]))
        offsets = [f"{place - before:+d}" for before, place in pairwise(places)]
        return f"{characters[places[0]]}{''.join(offsets)}={characters[places[-1]]}"


@dataclass(frozen=True)
class Question:
    """A question in a document.

    Attributes:
        hops: Number of its hops.
        offset: From its source to its answer, in places of the string; negative to the left.
        place: Index of the answer in the document, in characters.
    """

    hops: int
    offset: int
    place: int


def questions_of(document: str) -> list[Question]:
    """The questions of a document; none if it is not one of this task, or if an answer is wrong."""
    characters, *lines = document.rstrip("\n").split("\n")
    if not (characters.isascii() and characters.isalpha() and len(set(characters)) == len(characters)):
        return []
    found, begin = [], len(characters) + 1
    for line in lines:
        asked = _QUESTION.fullmatch(line)
        if asked is None:
            return []
        offsets = [int(offset) for offset in _OFFSET.findall(asked[2])]
        place = characters.find(asked[1]) + sum(offsets)
        if asked[1] not in characters or characters[place : place + 1] != asked[3] or place < 0:
            return []
        found.append(Question(len(offsets), sum(offsets), begin + len(line) - 1))
        begin += len(line) + 1
    return found

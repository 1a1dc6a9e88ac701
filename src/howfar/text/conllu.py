"""CoNLL-U: sentences as tokens of a text, each with its words and their annotation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from howfar.errors import CorpusError

EMPTY = "_"
NUM_COLUMNS = 10
_ID = re.compile(r"(\d+)(?:-(\d+)|(\.\d+))?")


@dataclass(frozen=True, slots=True)
class Word:
    """A syntactic word.

    Attributes:
        number: Its number in the sentence, from 1.
        part_of_speech: Universal part of speech; None where there is none.
        features: Morphological features by name.
        head: Number of the word that it depends on, 0 for the root; None without a tree.
        notes: The column MISC, its parts by name.
    """

    number: int
    part_of_speech: str | None
    features: dict[str, str]
    head: int | None
    notes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Token:
    """A surface token.

    Attributes:
        form: Its spelling.
        words: Its words: one, or several for a multiword token.
        is_spaced: Whether a space follows.
    """

    form: str
    words: tuple[Word, ...]
    is_spaced: bool


@dataclass(frozen=True)
class Sentence:
    """A sentence.

    Attributes:
        line: Number of its first line in the file.
        text: From its comment `# text`; None without one.
        tokens: Its tokens, without empty nodes, which stand for nothing in the text, and without enhanced dependencies.
        begins_document: Whether a comment `# newdoc` stands before it.
    """

    line: int
    text: str | None
    tokens: tuple[Token, ...]
    begins_document: bool


def sentences_of(lines: Iterable[tuple[int, str]], path: Path) -> Iterator[Sentence]:
    """Read sentences, one at a time.

    Args:
        lines: The file's lines, each with its number.
        path: The file, for messages.

    Raises:
        CorpusError: A line is malformed, or a sentence's words are inconsistent.

    Source:
        https://universaldependencies.org/format.html
    """
    block: list[tuple[int, str]] = []
    for number, line in lines:
        if line.strip():
            block.append((number, line))
        elif block:
            yield from _sentence(block, path)
            block = []
    if block:
        yield from _sentence(block, path)


def _sentence(block: Sequence[tuple[int, str]], path: Path) -> Iterator[Sentence]:
    """The sentence in the lines between two empty ones; none if there are only comments."""
    comments = [line[1:].partition("=") for _, line in block if line.startswith("#")]
    named = {key.strip(): value.strip() for key, _, value in comments}
    rows = [(number, line) for number, line in block if not line.startswith("#")]
    if not rows:
        return
    tokens, num_words = [], 0
    waiting: tuple[int, str, bool] | None = None  # the end, form and space of a multiword token
    words: list[Word] = []
    for number, line in rows:
        columns = line.split("\t")
        identifier = _ID.fullmatch(columns[0])
        if len(columns) != NUM_COLUMNS or not identifier or not columns[1].strip():
            raise CorpusError(
                f"line {number} of {path} is not CoNLL-U; write ten columns between tabs, an ID and a form first"
            )
        first, last, is_empty_node = int(identifier[1]), identifier[2], identifier[3] is not None
        if first != num_words + (not is_empty_node):
            due = num_words if is_empty_node else num_words + 1
            raise CorpusError(f"line {number} of {path} has the ID {columns[0]} where {due} is due; number all words")
        if is_empty_node:
            continue
        is_spaced = "SpaceAfter=No" not in columns[9].split("|")
        if last is not None:
            if waiting is not None or int(last) <= first:
                raise CorpusError(
                    f"line {number} of {path} has the range {columns[0]}; give ranges that ascend and do not overlap"
                )
            waiting = int(last), columns[1], is_spaced
            continue
        num_words = first
        words.append(_word(columns, number, path))
        if waiting is None:
            tokens.append(Token(columns[1], (words.pop(),), is_spaced))
        elif num_words == waiting[0]:
            tokens.append(Token(waiting[1], tuple(words), waiting[2]))
            waiting, words = None, []
    if waiting is not None:
        raise CorpusError(
            f"the sentence from line {block[0][0]} of {path} ends before word {waiting[0]} of a range; complete it"
        )
    _check_heads(tokens, num_words, block[0][0], path)
    begins_document = any(key.split()[:1] == ["newdoc"] for key in named)
    yield Sentence(block[0][0], named.get("text"), tuple(tokens), begins_document)


def _word(columns: Sequence[str], line: int, path: Path) -> Word:
    head = columns[6]
    if head != EMPTY and not head.isdecimal():
        raise CorpusError(f"line {line} of {path} has the head {head!r}; give the number of a word, 0, or _")
    features = [] if columns[5] == EMPTY else [part.partition("=") for part in columns[5].split("|")]
    if not all(name and value for name, _, value in features):
        raise CorpusError(f"line {line} of {path} has the features {columns[5]!r}; write Name=Value|Name=Value, or _")
    notes = [] if columns[9] == EMPTY else [part.partition("=") for part in columns[9].split("|")]
    return Word(
        int(columns[0]),
        None if columns[3] == EMPTY else columns[3],
        {name: value for name, _, value in features},
        None if head == EMPTY else int(head),
        {name: value for name, _, value in notes},
    )


def _check_heads(tokens: Sequence[Token], num_words: int, line: int, path: Path) -> None:
    for token in tokens:
        for word in token.words:
            if word.head is not None and (word.head > num_words or word.head == word.number):
                raise CorpusError(
                    f"word {word.number} of the sentence from line {line} of {path} has the head {word.head}; "
                    f"give another word of its {num_words}, or 0"
                )

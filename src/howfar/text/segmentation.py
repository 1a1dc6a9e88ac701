"""Texts with known boundaries: gold word segmentations, jieba's, and plain rules for English words and sentences."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from pathlib import Path

from howfar.errors import CorpusError
from howfar.imports import import_extra
from howfar.inputs import check_file
from howfar.text.classes import is_word_character
from howfar.text.conllu import NUM_COLUMNS, Sentence, Token, sentences_of
from howfar.text.decoding import decode


@dataclass(frozen=True)
class Segmentation:
    """A text and where its units begin.

    Attributes:
        text: The text.
        boundaries: The characters that begin a unit, ascending, without the text's first character (every text begins
            a unit). Whitespace between two units belongs to the one before it.
        tokens: The units with their words and annotation, if the segmentation was read from CoNLL-U.
        begins_document: Whether the text is the first, or only, one of a document; else it goes on with the last one.
        source: Where the text is from, for example its language; measures compare gaps of one source only.
    """

    text: str
    boundaries: tuple[int, ...]
    tokens: tuple[Token, ...] = field(default=(), compare=False, repr=False)
    begins_document: bool = field(default=True, compare=False, repr=False)
    source: str = field(default="", compare=False, repr=False)

    @property
    def units(self) -> list[str]:
        """The units, without the whitespace after them."""
        return [self.text[start:end].rstrip() for start, end in pairwise((0, *self.boundaries, len(self.text)))]


def read_spaced(path: str | Path) -> Iterator[Segmentation]:
    """Read a segmentation written with spaces between the words, one sentence a line; empty lines are skipped.

    Args:
        path: The segmented sentences, UTF-8. The text is the words without the spaces.

    Yields:
        Each sentence.

    Raises:
        CorpusError: The file cannot be read or has no sentence.
    """
    has_some = False
    for number, line in _lines(Path(path)):
        if line.count("\t") == NUM_COLUMNS - 1:  # its columns would pass for words
            raise CorpusError(f"line {number} of {path} is of CoNLL-U; end the file's name in .conllu")
        if words := line.split():
            has_some = True
            yield _align(words, "".join(words), Path(path), number)
    if not has_some:
        raise CorpusError(f"{path} has no sentence; give one sentence a line, with spaces between words")


def read_conllu(path: str | Path) -> Iterator[Segmentation]:
    """Read a CoNLL-U file by surface tokens.

    A multiword token (`3-4`) is one unit; the words in its range and empty nodes (`5.1`) are skipped. The text is
    the sentence's `# text`, or is joined from the tokens and `SpaceAfter=No`. Documents begin at `# newdoc`; where no
    such comment has come yet, each sentence is a document.

    Yields:
        Each sentence.

    Raises:
        CorpusError: The file cannot be read, has no sentence or a malformed line, or a sentence's tokens are not those
            of its `# text`.

    Source:
        https://universaldependencies.org/format.html
    """
    has_some = are_marked = False
    for sentence in sentences_of(_lines(Path(path)), Path(path)):
        has_some = True
        are_marked |= sentence.begins_document
        yield replace(_of_sentence(sentence, Path(path)), begins_document=sentence.begins_document or not are_marked)
    if not has_some:
        raise CorpusError(f"{path} has no sentence in CoNLL-U; give a .conllu file with ten columns separated by tabs")


def jieba_segment(text: str) -> Segmentation:
    """Segment Chinese text into words with jieba.

    Raises:
        MissingExtraError: jieba is not installed.
    """
    with warnings.catch_warnings(action="ignore"):  # jieba warns about its own code and pkg_resources
        jieba = import_extra("jieba", "segmenting", extra="chinese")
    jieba.setLogLevel(logging.WARNING)
    words = list(jieba.cut(text))
    return _from_starts(text, accumulate(map(len, words[:-1]), initial=0))


def word_segmentation(text: str) -> Segmentation:
    """Find the words of a text that separates words by spaces and punctuation, for example English.

    A word is a maximal run of letters, digits, underscores and combining marks, with apostrophes and hyphens between
    two of these characters; a run of punctuation between words is a unit of its own.
    """
    kinds = [_word_kind(text, index) for index in range(len(text))]
    starts = (i for i, kind in enumerate(kinds) if kind != "space" and (i == 0 or kinds[i - 1] != kind))
    return _from_starts(text, starts)


def sentence_segmentation(text: str) -> Segmentation:
    """Find the sentences of English or Chinese text, by rule.

    A sentence ends with a line; after 。！？ and closing quotes; and after one or more of . ! ? … and closing quotes or
    brackets, if whitespace and no lowercase letter follow, unless the full stop is that of a single initial
    or of a common abbreviation (for example "Dr." or "e.g.").
    """
    starts = (match.end() for match in _SENTENCE_END.finditer(text) if not _goes_on(text, match))
    return _from_starts(text, (start for start in starts if start < len(text)))


_CLOSING = r"[\"'”’»)\]」』）】》]*"
_SENTENCE_END = re.compile(rf"\n\s*|(?<![。！？])[。！？]+{_CLOSING}\s*|(?<![.!?…])(?P<marks>[.!?…]+){_CLOSING}\s+")
_ABBREVIATION_LIST = """
    mr mrs ms dr prof st jr sr gen col lt sgt capt rev hon gov pres sen rep mt no vol fig ch sec pp p ed eds al ca cf vs
    etc inc ltd co corp e.g i.e a.m p.m u.s u.k approx dept est jan feb mar apr jun jul aug sep sept oct nov dec
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())


def _goes_on(text: str, end: re.Match[str]) -> bool:
    """Whether a possible sentence end is not one: a lowercase letter follows, or its full stop ends an abbreviation."""
    if end["marks"] is None or "\n" in end[0]:
        return False
    if text[end.end() : end.end() + 1].islower():
        return True
    word = re.search(r"[\w.]*\Z", text[max(0, end.start() - 12) : end.start()])
    before = word[0].lower() if word else ""
    is_initial = len(before) == 1 and before.isalpha() and before != "i"
    return end["marks"] == "." and (is_initial or before in _ABBREVIATIONS)


def _word_kind(text: str, index: int) -> str:
    character = text[index]
    if is_word_character(character):
        return "word"
    if character.isspace():
        return "space"
    inside = 0 < index < len(text) - 1 and is_word_character(text[index - 1]) and is_word_character(text[index + 1])
    return "word" if character in "'’-" and inside else "punctuation"


def _from_starts(text: str, starts: Iterable[int]) -> Segmentation:
    """Make a segmentation; a start at whitespace, or at the first other character of the text, is not a boundary."""
    first = len(text) - len(text.lstrip())
    return Segmentation(text, tuple(start for start in starts if start > first and not text[start].isspace()))


def _align(words: Sequence[str], text: str, path: Path, line: int) -> Segmentation:
    """Align words with their text, skipping whitespace."""
    starts: list[int] = []
    position = 0
    for word in words:
        while position < len(text) and text[position].isspace() and not text.startswith(word, position):
            position += 1
        if not text.startswith(word, position):
            break
        starts.append(position)
        position += len(word)
    if len(starts) < len(words) or text[position:].strip():
        wanted = repr(words[len(starts)]) if len(starts) < len(words) else "the end"
        raise CorpusError(
            f"line {line} of {path}: the segmentation has {wanted} where the text has "
            f"{text[position : position + 12]!r}; give the segmentation of this text"
        )
    return _from_starts(text, starts)


def _of_sentence(sentence: Sentence, path: Path) -> Segmentation:
    text = sentence.text
    if text is None:
        text = "".join(token.form + " " * token.is_spaced for token in sentence.tokens).rstrip()
    found = _align([token.form for token in sentence.tokens], text, path, sentence.line)
    return replace(found, tokens=sentence.tokens)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, one at a time, each with its number."""
    number = 0
    try:
        check_file(path)
        with path.open("rb") as file:
            for read, data in enumerate(file, start=1):
                text = decode(data, path, first_line=read).removesuffix("\n")
                for line in text.split("\n"):  # old line ends
                    number += 1
                    yield number, line
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror or error}); name a file that can be") from None

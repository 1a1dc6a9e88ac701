"""Texts with known boundaries: gold word segmentations, jieba's, and plain rules for English words and sentences."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from howfar.errors import CorpusError, MissingExtraError
from howfar.text.decoding import decode


@dataclass(frozen=True)
class Segmentation:
    """A text and where its units begin.

    Attributes:
        text: The text.
        boundaries: The characters that begin a unit, ascending, the text's first character left out (every text begins
            a unit). Whitespace between two units belongs to the one before it.
    """

    text: str
    boundaries: tuple[int, ...]

    @property
    def units(self) -> list[str]:
        """The units, without the whitespace after them."""
        return [self.text[start:end].rstrip() for start, end in pairwise((0, *self.boundaries, len(self.text)))]


def read_spaced(path: str | Path, text_path: str | Path | None = None) -> list[Segmentation]:
    """Read a segmentation written with spaces between the words, one sentence a line; empty lines are passed over.

    Args:
        path: The segmented sentences, UTF-8.
        text_path: The same sentences unsegmented, one a line. By default the text is the words without the spaces.

    Returns:
        One segmentation a sentence.

    Raises:
        CorpusError: A file cannot be read or has no sentence, or a line's words are not those of its text.
    """
    path = Path(path)
    lines = [(number, line.split()) for number, line in enumerate(_lines(path), start=1) if line.strip()]
    if not lines:
        raise CorpusError(f"{path} has no sentence; give one sentence a line, its words parted by spaces")
    if text_path is None:
        texts = ["".join(words) for _, words in lines]
    else:
        texts = [line.strip() for line in _lines(Path(text_path)) if line.strip()]
        if len(texts) != len(lines):
            raise CorpusError(f"{path} has {len(lines)} sentences, {text_path} has {len(texts)}; they must be the same")
    return [_align(words, text, path, number) for (number, words), text in zip(lines, texts, strict=True)]


def read_conllu(path: str | Path) -> list[Segmentation]:
    """Read a CoNLL-U file: one segmentation a sentence, by surface tokens.

    A multiword token (`3-4`) is one unit, the words in its range and empty nodes (`5.1`) are passed over. The text is
    the sentence's `# text`, or is put together from the tokens and `SpaceAfter=No`.

    Raises:
        CorpusError: The file cannot be read, has no sentence or a malformed line, or a sentence's tokens are not those
            of its `# text`.

    Source:
        https://universaldependencies.org/format.html
    """
    path = Path(path)
    found = [_conllu_sentence(block, path) for block in _blocks(path)]
    sentences = [sentence for sentence in found if sentence is not None]
    if not sentences:
        raise CorpusError(f"{path} has no sentence in CoNLL-U; give a .conllu file with ten columns parted by tabs")
    return sentences


def jieba_segment(text: str) -> Segmentation:
    """Segment Chinese text into words with jieba.

    Raises:
        MissingExtraError: jieba is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jieba's own, about its sources and pkg_resources
            import jieba
    except ImportError:
        raise MissingExtraError(
            "segmenting needs the package jieba; install it: pip install 'howfar[chinese]'"
        ) from None
    import logging

    jieba.setLogLevel(logging.WARNING)
    return _from_starts(text, _starts_of(jieba.cut(text)))


def word_segmentation(text: str) -> Segmentation:
    """Find the words of a text that parts them by spaces and punctuation, such as English.

    A word is a longest run of letters, digits, underscores and combining marks, with apostrophes and hyphens between
    two of those; a run of punctuation between words is a unit of its own.
    """
    kinds = [_word_kind(text, index) for index in range(len(text))]
    starts = (i for i, kind in enumerate(kinds) if kind != "space" and (i == 0 or kinds[i - 1] != kind))
    return _from_starts(text, starts)


def sentence_segmentation(text: str) -> Segmentation:
    """Find the sentences of English or Chinese text, by rule.

    A sentence ends with a line; after 。！？ and closing quotes; and after one or more of . ! ? … and closing quotes or
    brackets, when whitespace and then no lowercase letter follow, unless the full stop is that of a single initial
    or of a common abbreviation (such as "Dr." or "e.g.").
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
    """Say whether a possible sentence end is none: a lowercase letter follows it, or its full stop shortens a word."""
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
    if _is_word_character(character):
        return "word"
    if character.isspace():
        return "space"
    inside = 0 < index < len(text) - 1 and _is_word_character(text[index - 1]) and _is_word_character(text[index + 1])
    return "word" if character in "'’-" and inside else "punctuation"


def _is_word_character(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def _from_starts(text: str, starts: Iterable[int]) -> Segmentation:
    """Make a segmentation; a start at a whitespace character, or at the text's first other one, is no boundary."""
    first = len(text) - len(text.lstrip())
    return Segmentation(text, tuple(start for start in starts if start > first and not text[start].isspace()))


def _starts_of(words: Iterable[str]) -> Iterator[int]:
    position = 0
    for word in words:
        yield position
        position += len(word)


def _align(words: Sequence[str], text: str, path: Path, line: int) -> Segmentation:
    """Lay words along their text, passing over whitespace."""
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
            f"{text[position : position + 12]!r}; give the segmentation of this very text"
        )
    return _from_starts(text, starts)


def _conllu_sentence(block: Sequence[tuple[int, str]], path: Path) -> Segmentation | None:
    text: str | None = None
    words: list[str] = []
    spaced = ""
    range_end = 0
    for number, line in block:
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            text = value.strip() if key.strip() == "text" else text
            continue
        columns = line.split("\t")
        identifier = re.fullmatch(r"(\d+)(?:-(\d+)|(\.\d+))?", columns[0])
        if len(columns) != 10 or not identifier:
            raise CorpusError(
                f"line {number} of {path} is not CoNLL-U; write ten columns with tabs between them, an ID first"
            )
        if identifier[3] or (identifier[2] is None and int(identifier[1]) <= range_end):
            continue
        range_end = int(identifier[2] or range_end)
        words.append(columns[1])
        spaced += columns[1] + ("" if "SpaceAfter=No" in columns[9].split("|") else " ")
    if not words:
        return None
    return _align(words, spaced.rstrip() if text is None else text, path, block[0][0])


def _blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Give the runs of lines between empty ones, each line with its number."""
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*_lines(path), ""], start=1):
        if line.strip():
            block.append((number, line))
        elif block:
            yield block
            block = []


def _lines(path: Path) -> list[str]:
    try:
        return re.split("\r\n|\r|\n", decode(path.read_bytes(), path))
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror or error}); name a file that can be") from None

"""Classes of subword tokens, to compare increments by: in text and over a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from howfar.text.classes import is_chinese_character, is_word_character

_FUNCTION_WORDS = """
    a about above after again against all also although am an and another any are as at be because been before
    being below between both but by can could did do does during each either else every few for from had has
    have he her here hers him his how i if in into is it its itself just may me might more most must my neither
    no nor not of off on once one only onto or other our ours out over own per shall she should since so some
    such than that the their theirs them then there these they this those though through thus to too toward
    towards under unless until up upon us very was we were what when where whether which while who whom whose
    why will with within without would yet you your yours
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English determiners, pronouns, prepositions, conjunctions, auxiliaries and particles."""


class SubwordClass(IntEnum):
    """The class of a subword token, given the text around it."""

    WORD_START = 0
    CONTINUATION = 1
    """The rest of a word that an earlier token began, or of a character"""
    FUNCTION_WORD = 2
    """A whole English function word, such as " the" """
    PUNCTUATION = 3
    WHITESPACE = 4
    SPECIAL = 5
    """A token without text"""


def classes_of_subwords(text: str, byte_spans: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Classify the subword tokens of a text.

    A token that begins with a Chinese character begins a word, since nothing in the text says otherwise.

    Args:
        text: The text that was tokenized.
        byte_spans: int64 `[token, 2]`, from `byte_spans_of_tokens`.

    Returns:
        uint8 `[token]` of `SubwordClass`.
    """
    data = text.encode("utf-8")
    classes = np.empty(len(byte_spans), dtype=np.uint8)
    for index, (start, end) in enumerate(byte_spans.tolist()):
        # Four bytes on either side hold a whole character.
        before = data[max(0, start - 4) : start].decode("utf-8", errors="ignore")[-1:]
        after = data[end : end + 4].decode("utf-8", errors="ignore")[:1]
        in_word, goes_on = is_word_character(before), is_word_character(after)
        classes[index] = class_of_subword(data[start:end], in_word=in_word, word_goes_on=goes_on)
    return classes


def classes_of_subword_vocabulary(pieces: Sequence[bytes]) -> NDArray[np.uint8]:
    """Classify a vocabulary without any text: a word begins only with a space before it or a Chinese character.

    Args:
        pieces: Each token's bytes, from `token_bytes`.

    Returns:
        uint8 `[token]` of `SubwordClass`.
    """
    return np.array([class_of_subword(piece, in_word=True) for piece in pieces], dtype=np.uint8)


def class_of_subword(piece: bytes, *, in_word: bool, word_goes_on: bool = False) -> SubwordClass:
    """Classify one subword token.

    Args:
        piece: Its bytes.
        in_word: Whether the character before it is part of a word.
        word_goes_on: Whether the character after it is part of a word.
    """
    if not piece:
        return SubwordClass.SPECIAL
    if piece[0] & 0xC0 == 0x80:
        return SubwordClass.CONTINUATION
    text = piece.decode("utf-8", errors="ignore")
    word = text.lstrip()
    if not word:
        # If part of the piece was not readable, it ends with the first bytes of a character.
        return SubwordClass.WHITESPACE if len(text.encode()) == len(piece) else SubwordClass.WORD_START
    if not is_word_character(word[0]):
        return SubwordClass.PUNCTUATION
    if in_word and len(word) == len(text) and not is_chinese_character(word[0]):
        return SubwordClass.CONTINUATION
    if not word_goes_on and word.rstrip().lower() in FUNCTION_WORDS:
        return SubwordClass.FUNCTION_WORD
    return SubwordClass.WORD_START

"""Classes of byte tokens, to compare increments by: in text and in source code."""

from __future__ import annotations

import unicodedata
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from howfar.text.tokenizer import END_OF_DOCUMENT


class ByteClass(IntEnum):
    """The class of a byte token, given its character.

    Letters, digits, space and newline are the ASCII ones, which are one byte each. The first byte of a longer character
    distinguishes Chinese characters, punctuation and the rest; its other bytes only Chinese characters and the rest.
    """

    LOWERCASE = 0
    UPPERCASE = 1
    DIGIT = 2
    SPACE = 3
    NEWLINE = 4
    SENTENCE_PUNCTUATION = 5
    """. ! ? and the first byte of 。！？"""
    OTHER_PUNCTUATION = 6
    """Other ASCII punctuation and symbols, and the first byte of other punctuation (，「—)"""
    CJK_LEAD = 7
    """The first byte of a Chinese character (Unicode's unified and compatibility ideographs)"""
    CJK_CONTINUATION = 8
    OTHER_LEAD = 9
    OTHER_CONTINUATION = 10
    CONTROL = 11
    """ASCII control characters except the newline; includes tabs"""
    END_OF_DOCUMENT = 12
    MALFORMED = 13
    """Not part of a complete UTF-8 character, for example at the edges of a window"""


class CodeClass(IntEnum):
    """The class of a byte token in source code. The classes are lexical, the same for any language."""

    IDENTIFIER = 0
    """Letters, digits and underscores of a name or keyword; all of non-ASCII text"""
    NUMBER = 1
    BRACKET = 2
    OPERATOR = 3
    PUNCTUATION = 4
    SPACE = 5
    INDENTATION = 6
    """Spaces and tabs at the beginning of a line"""
    NEWLINE = 7
    CONTROL = 8
    END_OF_DOCUMENT = 9


def class_in_words(name: str) -> str:
    """The name of a class as it is shown: `cjk_lead` is "Chinese lead"."""
    return name.replace("_", " ").replace("cjk", "Chinese")


def classes_of_bytes(token_ids: ArrayLike) -> NDArray[np.uint8]:
    """Classify byte tokens in a text.

    Args:
        token_ids: `[token]`, byte values 0-255 and `END_OF_DOCUMENT`.

    Returns:
        uint8 `[token]` of `ByteClass`.
    """
    tokens = np.asarray(token_ids, dtype=np.int64)
    classes = _BYTE_CLASSES[tokens].copy()
    classes[tokens >= 0x80] = ByteClass.MALFORMED
    classes[tokens == END_OF_DOCUMENT] = ByteClass.END_OF_DOCUMENT
    for length, (lowest, highest, data_bits, first_code_point) in _MULTIBYTE.items():
        leads = np.flatnonzero((tokens >= lowest) & (tokens <= highest))
        leads = leads[leads + length <= len(tokens)]
        followers = tokens[leads[:, None] + np.arange(1, length)]
        whole = ((followers >= 0x80) & (followers < 0xC0)).all(axis=1)
        leads, followers = leads[whole], followers[whole]
        code_points = tokens[leads] & data_bits
        for column in followers.T:
            code_points = code_points << 6 | column & 0x3F
        valid = _are_characters(code_points, first_code_point)
        _classify_characters(classes, leads[valid], code_points[valid], length)
    return classes


def classes_of_byte_values() -> NDArray[np.uint8]:
    """Classify the 257 byte tokens without any text, for models whose increment depends on the token alone.

    0xE4-0xE9 count as first bytes of Chinese characters; continuation bytes, which all scripts share, count as theirs.

    Returns:
        uint8 `[257]` of `ByteClass`.
    """
    return _BYTE_CLASSES.copy()


def code_classes_of_bytes(token_ids: ArrayLike) -> NDArray[np.uint8]:
    """Classify byte tokens of source code.

    Args:
        token_ids: `[token]`, byte values 0-255 and `END_OF_DOCUMENT`.

    Returns:
        uint8 `[token]` of `CodeClass`.
    """
    tokens = np.asarray(token_ids, dtype=np.int64)
    classes = _CODE_CLASSES[tokens].copy()
    index = np.arange(len(tokens))
    # A run of word bytes that begins with a digit is a number.
    in_word = classes == CodeClass.IDENTIFIER
    run_start = np.maximum.accumulate(np.where(in_word, -1, index)) + 1 if len(tokens) else index
    digits_first = np.isin(tokens[np.minimum(run_start, len(tokens) - 1)], _DIGITS)
    classes[in_word & digits_first] = CodeClass.NUMBER
    # Blanks are indentation if they begin their line.
    blank = np.isin(tokens, [ord(" "), ord("\t")])
    last_other = np.maximum.accumulate(np.where(blank, -1, index)) if len(tokens) else index
    line_starts = (last_other < 0) | np.isin(tokens[last_other], [ord("\n"), END_OF_DOCUMENT])
    classes[blank & line_starts] = CodeClass.INDENTATION
    return classes


def is_chinese_character(character: str) -> bool:
    """Whether a character is a CJK ideograph."""
    return any(first <= ord(character) <= last for first, last in _IDEOGRAPHS)


def is_word_character(character: str) -> bool:
    """Whether a character is part of a word: a letter, a digit, an underscore or a combining mark; "" is not."""
    return character.isalnum() or character == "_" or (character != "" and unicodedata.category(character)[0] == "M")


_IDEOGRAPHS = (
    (0x3005, 0x3005), (0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)
)  # fmt: skip
_SENTENCE_MARKS = frozenset(".!?。！？")
_DIGITS = [*range(ord("0"), ord("9") + 1)]
# For characters of 2, 3 and 4 bytes: the lowest and highest first byte, its data bits, the first code point.
_MULTIBYTE = {2: (0xC2, 0xDF, 0x1F, 0x80), 3: (0xE0, 0xEF, 0x0F, 0x800), 4: (0xF0, 0xF4, 0x07, 0x10000)}


def _are_characters(code_points: NDArray[np.int64], first: int) -> NDArray[np.bool_]:
    surrogate = (code_points >= 0xD800) & (code_points <= 0xDFFF)
    return (code_points >= first) & (code_points <= 0x10FFFF) & ~surrogate


def _classify_characters(
    classes: NDArray[np.uint8], leads: NDArray[np.int64], code_points: NDArray[np.int64], length: int
) -> None:
    """Write the classes of complete characters of `length` bytes, which begin at `leads`, into `classes`."""
    distinct, which = np.unique(code_points, return_inverse=True)
    lead_classes = np.array([_lead_class(chr(code_point)) for code_point in distinct], dtype=np.uint8)[which]
    continuation = np.where(
        lead_classes == ByteClass.CJK_LEAD, ByteClass.CJK_CONTINUATION, ByteClass.OTHER_CONTINUATION
    )
    classes[leads] = lead_classes
    classes[leads[:, None] + np.arange(1, length)] = continuation[:, None]


def _lead_class(character: str) -> ByteClass:
    if is_chinese_character(character):
        return ByteClass.CJK_LEAD
    if character in _SENTENCE_MARKS:
        return ByteClass.SENTENCE_PUNCTUATION
    return ByteClass.OTHER_PUNCTUATION if unicodedata.category(character)[0] == "P" else ByteClass.OTHER_LEAD


def _class_of_byte_value(value: int) -> ByteClass:
    character = chr(value)
    if value == END_OF_DOCUMENT:
        return ByteClass.END_OF_DOCUMENT
    if value >= 0x80:
        if value < 0xC0:
            return ByteClass.CJK_CONTINUATION
        if value in (0xC0, 0xC1) or value > 0xF4:
            return ByteClass.MALFORMED  # these bytes never occur in UTF-8
        return ByteClass.CJK_LEAD if 0xE4 <= value <= 0xE9 else ByteClass.OTHER_LEAD
    if character.isalpha():
        return ByteClass.LOWERCASE if character.islower() else ByteClass.UPPERCASE
    if character.isdigit():
        return ByteClass.DIGIT
    if character in _SENTENCE_MARKS:
        return ByteClass.SENTENCE_PUNCTUATION
    if character in " \n":
        return ByteClass.SPACE if character == " " else ByteClass.NEWLINE
    return ByteClass.OTHER_PUNCTUATION if character.isprintable() else ByteClass.CONTROL


def _code_class_of_byte_value(value: int) -> CodeClass:
    character = chr(value)
    if value == END_OF_DOCUMENT:
        return CodeClass.END_OF_DOCUMENT
    if value >= 0x80 or character.isalnum() or character == "_":
        return CodeClass.IDENTIFIER
    if character in "()[]{}":
        return CodeClass.BRACKET
    if character in "+-*/%=<>!&|^~@":
        return CodeClass.OPERATOR
    if character in " \t":
        return CodeClass.SPACE
    if character == "\n":
        return CodeClass.NEWLINE
    return CodeClass.PUNCTUATION if character.isprintable() else CodeClass.CONTROL


_BYTE_CLASSES = np.array([_class_of_byte_value(value) for value in range(257)], dtype=np.uint8)
_CODE_CLASSES = np.array([_code_class_of_byte_value(value) for value in range(257)], dtype=np.uint8)

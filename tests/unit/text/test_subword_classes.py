import numpy as np
import pytest

from howfar.text.subword_classes import (
    SubwordClass,
    class_of_subword,
    classes_of_subword_vocabulary,
    classes_of_subwords,
)


def classify(*pieces: str | bytes) -> list[str]:
    """Classify pieces that follow one another in a text."""
    data = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    ends = np.cumsum([len(piece) for piece in data])
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    return [SubwordClass(value).name for value in classes_of_subwords(b"".join(data).decode(), spans)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Once", " up", "on", " the"], ["FUNCTION_WORD", "WORD_START", "CONTINUATION", "FUNCTION_WORD"]),
        (["the", "me"], ["WORD_START", "CONTINUATION"]),
        ([" a", ",", " ", "\n\n", "cat"], ["FUNCTION_WORD", "PUNCTUATION", "WHITESPACE", "WHITESPACE", "WORD_START"]),
        (["(", "x", ")"], ["PUNCTUATION", "WORD_START", "PUNCTUATION"]),
        (["中国", "人", "。"], ["WORD_START", "WORD_START", "PUNCTUATION"]),
        ([b"\xe4", b"\xb8", b"\xad"], ["WORD_START", "CONTINUATION", "CONTINUATION"]),
        (["a", b" \xe4\xb8", b"\xad"], ["FUNCTION_WORD", "WORD_START", "CONTINUATION"]),
        (["", "caf", "e", "\u0301"], ["SPECIAL", "WORD_START", "CONTINUATION", "CONTINUATION"]),
    ],
)
def test_tokens_in_text(pieces, expected):
    assert classify(*pieces) == expected


def test_a_vocabulary_without_text():
    pieces = [b"", b" the", b"the", b" cat", b"cat", b"\n", b" ,", "中".encode(), b"\xad"]
    names = [SubwordClass(value).name for value in classes_of_subword_vocabulary(pieces)]
    assert names == [
        "SPECIAL",
        "FUNCTION_WORD",
        "CONTINUATION",
        "WORD_START",
        "CONTINUATION",
        "WHITESPACE",
        "PUNCTUATION",
        "WORD_START",
        "CONTINUATION",
    ]


def test_a_function_word_must_end_with_its_token():
    assert class_of_subword(b" the", in_word=True) is SubwordClass.FUNCTION_WORD
    assert class_of_subword(b" the", in_word=True, word_goes_on=True) is SubwordClass.WORD_START

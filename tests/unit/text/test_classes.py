import unicodedata

import numpy as np
import pytest

from howfar.text.classes import (
    ByteClass,
    CodeClass,
    classes_of_byte_values,
    classes_of_bytes,
    code_classes_of_bytes,
    is_chinese_character,
)
from howfar.text.tokenizer import END_OF_DOCUMENT


def names(token_ids) -> list[str]:
    return [ByteClass(value).name for value in classes_of_bytes(token_ids)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aZ0 \n", ["LOWERCASE", "UPPERCASE", "DIGIT", "SPACE", "NEWLINE"]),
        (".!?", ["SENTENCE_PUNCTUATION"] * 3),
        (",;:-_$~", ["OTHER_PUNCTUATION"] * 7),
        ("\t\r\x00\x7f", ["CONTROL"] * 4),
        ("中", ["CJK_LEAD", "CJK_CONTINUATION", "CJK_CONTINUATION"]),
        ("𠀀", ["CJK_LEAD", *["CJK_CONTINUATION"] * 3]),
        ("。", ["SENTENCE_PUNCTUATION", "OTHER_CONTINUATION", "OTHER_CONTINUATION"]),
        ("！", ["SENTENCE_PUNCTUATION", "OTHER_CONTINUATION", "OTHER_CONTINUATION"]),
        ("，", ["OTHER_PUNCTUATION", "OTHER_CONTINUATION", "OTHER_CONTINUATION"]),
        ("—", ["OTHER_PUNCTUATION", "OTHER_CONTINUATION", "OTHER_CONTINUATION"]),
        ("é", ["OTHER_LEAD", "OTHER_CONTINUATION"]),
        ("か", ["OTHER_LEAD", "OTHER_CONTINUATION", "OTHER_CONTINUATION"]),
        ("😀", ["OTHER_LEAD", *["OTHER_CONTINUATION"] * 3]),
        ("", []),
    ],
)
def test_bytes_are_classified_by_their_character(text, expected):
    assert names(list(text.encode())) == expected


def test_the_end_of_a_document_parts_characters():
    assert names([0xE4, 0xB8, END_OF_DOCUMENT, 0xAD]) == ["MALFORMED", "MALFORMED", "END_OF_DOCUMENT", "MALFORMED"]


@pytest.mark.parametrize(
    "data", [b"\x80", b"\xe4\xb8", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5", b"\xff"]
)
def test_bytes_that_are_no_utf8_are_malformed(data):
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert names([*data, ord("a")]) == ["MALFORMED"] * len(data) + ["LOWERCASE"]


def test_vectorised_classes_agree_with_one_character_at_a_time():
    generator = np.random.default_rng(0)
    code_points = [point for point in generator.integers(0, 0x110000, size=3000) if not 0xD800 <= point <= 0xDFFF]
    text = "".join(chr(point) for point in code_points)
    one_by_one = [value for character in text for value in classes_of_bytes(list(character.encode()))]
    assert classes_of_bytes(list(text.encode())).tolist() == one_by_one
    assert ByteClass.MALFORMED not in one_by_one


def test_ideographs_are_those_unicode_names_so():
    for point in range(0x2E80, 0x33000):
        named = unicodedata.name(chr(point), "").startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))
        assert not named or is_chinese_character(chr(point)), hex(point)
    assert not any(is_chinese_character(character) for character in "aか한、。Ａ")


def test_byte_values_without_text():
    classes = classes_of_byte_values()
    assert len(classes) == 257
    assert classes[END_OF_DOCUMENT] == ByteClass.END_OF_DOCUMENT
    assert classes[ord("a")] == ByteClass.LOWERCASE
    assert set(classes[0xE4:0xEA]) == {ByteClass.CJK_LEAD}
    assert set(classes[0x80:0xC0]) == {ByteClass.CJK_CONTINUATION}
    assert classes[0xC3] == ByteClass.OTHER_LEAD
    assert classes[0xFF] == ByteClass.MALFORMED


def test_code_classes():
    text = "def f(x1):\n\treturn x1+10 # 中\n\n  a\t= 3.5e2\r"
    letters = {
        CodeClass.IDENTIFIER: "i",
        CodeClass.NUMBER: "n",
        CodeClass.BRACKET: "b",
        CodeClass.OPERATOR: "o",
        CodeClass.PUNCTUATION: "p",
        CodeClass.SPACE: "s",
        CodeClass.INDENTATION: "I",
        CodeClass.NEWLINE: "N",
        CodeClass.CONTROL: "c",
        CodeClass.END_OF_DOCUMENT: "e",
    }
    found = "".join(letters[CodeClass(value)] for value in code_classes_of_bytes([*text.encode(), 256, 32, 49]))
    assert found == "iiisibiibpN" + "IiiiiiisiionnspsiiiNN" + "IIisosnpnnnc" + "eIn"
    assert code_classes_of_bytes([]).tolist() == []

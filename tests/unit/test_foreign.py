"""Strings that others wrote, on their way to a terminal."""

import json

import pytest

from howfar.errors import CheckpointError, HowFarError, MissingExtraError
from howfar.foreign import first_line, harmless, harmless_json, harmless_lines


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain, naïve, 汉字 and 👩‍🔬", "plain, naïve, 汉字 and 👩‍🔬"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("\x9b31mred", r"\x9b31mred"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("bell\x07 delete\x7f nul\x00", r"bell\x07 delete\x7f nul\x00"),
        ("half \ud800", r"half \ud800"),
        ("two\n  lines\u2028and\x85more\r\n", "two lines and more"),
        ("a\ttab", r"a\x09tab"),
    ],
)
def test_a_text_is_put_on_one_line_and_made_harmless(text: str, printed: str) -> None:
    assert harmless(text) == printed
    assert harmless(printed) == printed


@pytest.mark.parametrize("kind", [CheckpointError, MissingExtraError])
def test_errors_are_harmless_whoever_prints_them(kind: type[HowFarError]) -> None:
    assert str(kind("the tensor 'a\x1b]0;title\x07' has\nno shape")) == r"the tensor 'a\x1b]0;title\x07' has no shape"


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("what it is\n\nand much more")) == "what it is"
    assert first_line(ValueError("\n  it is this:\n  a cause\n  more")) == "it is this: a cause"
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("a\x1b[1mb")) == r"a\x1b[1mb"


@pytest.mark.parametrize("text", ["\x9b31m", "\u202egnp.exe", "\u2028", "\ud800", "汉字", 'quote " and \\ and \n'])
def test_json_means_the_same_and_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    written = harmless_json({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert harmless(written) == written
    assert ("汉字" in written) == (text == "汉字")


def test_json_for_an_encoding_that_lacks_a_character() -> None:
    assert harmless_json("é", encoding="cp1252") == '"é"'
    assert harmless_json("汉", encoding="cp1252") == r'"\u6c49"'


def test_written_json_and_lines_are_made_harmless() -> None:
    written = harmless_json([{"a": "\u202e\x9b汉"}])
    assert written == r'[{"a": "\u202e\u009b汉"}]'
    assert json.loads(harmless_json(["汉"], encoding="ascii")) == ["汉"]
    assert harmless_lines('a,"b\r\nc"\n\x1b[31m,\u2066') == 'a,"b\r\nc"\n' + r"\x1b[31m,\u2066"

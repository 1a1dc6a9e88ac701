import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from howfar.charts.glyphs import joined, reads_right_to_left, visible, width_in_ems


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a", "a"),
        (" ", "␣"),
        ("\n", "⏎"),
        ("\r\n", "⏎"),
        (" won", "␣won"),
        ("\x00", r"\x00"),
        ("\u200b", "U+200B"),
        ("\u200d", "U+200D"),
        ("a\u202eb", "aU+202Eb"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("e\u0301", "e\u0301"),
        ("居", "居"),
        ("\U0001fa77", "\U0001fa77"),  # characters that are younger than Python 3.11
        ("\U0001fae9", "\U0001fae9"),
        ("\U00031350", "\U00031350"),
        ("\U0003fffd", "U+3FFFD"),  # this one is not assigned
    ],
)
def test_what_leaves_no_ink_is_made_visible(text: str, drawn: str):
    assert visible(text) == drawn


@given(st.text(min_size=1))
def test_nothing_is_left_that_a_terminal_would_obey(text: str):
    drawn = visible(text)
    assert drawn
    commands = {character for character in drawn if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")}
    assert all(character in "\u200c\u200d" or "\U000e0020" <= character <= "\U000e007f" for character in commands)
    assert width_in_ems(drawn) > 0


def test_wide_characters_are_wider_than_letters_and_marks_take_nothing():
    assert width_in_ems("居") > width_in_ems("m") > width_in_ems("a") > width_in_ems("i")
    assert width_in_ems("e\u0301") == width_in_ems("e")
    assert width_in_ems("👩\u200d🔬") == width_in_ems("👩🏽") == width_in_ems("👩")


@pytest.mark.parametrize(
    ("letters", "shaped"),
    [
        ("بحر", ["ب\u200d", "\u200dح\u200d", "\u200dر"]),
        ("دار", ["د", "ا", "ر"]),  # these join nothing that follows
        ("ب ا", ["ب", " ", "ا"]),
        ("abא", ["a", "b", "א"]),
        ("𞤀𞤣", ["𞤀\u200d", "\u200d𞤣"]),
    ],
)
def test_letters_that_join_others_keep_the_shapes_that_they_have_in_words(letters: str, shaped: list[str]):
    assert joined(list(letters)) == shaped


@pytest.mark.parametrize(
    ("text", "is_from_the_right"),
    [
        ("abc שלום", False),
        ("שלום abc", True),
        ("12 (ב) a", True),  # digits and brackets have no direction of their own
        ("ⅷ שלום", False),  # a numeral that is a letter has
        ("\u200fabc", True),
        ("\u200eשלום", False),
        ("𞤀𞤣𞤤𞤢𞤥 ok", True),  # Adlam
        ("ࠀࠁ abc", True),  # Samaritan
        ("居里", False),
        ("12 …", False),
        ("", False),
    ],
)
def test_the_first_character_with_a_direction_decides(text: str, is_from_the_right: bool):
    assert reads_right_to_left(text) == is_from_the_right

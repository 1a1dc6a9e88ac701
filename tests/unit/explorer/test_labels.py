import numpy as np
import pytest

from howfar.charts.rows import Cells
from howfar.explorer.labels import shortest, token_label, with_labels
from howfar.explorer.what_if import Edit

TEXT = "Ada “图书馆”."


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (b"a", "a"),
        (b" ", "␣"),
        ("图".encode(), "图"),
        (b"\xe5", "E5…"),  # begins a character
        (b"\x9b\xbe", "…9B BE…"),  # is in the midst of one
        (b"", "⟨end⟩"),
    ],
)
def test_tokens_are_characters_or_say_that_they_are_parts_of_one(data, label):
    assert token_label(data) == label


def test_numbers_have_the_fewest_digits_that_tell_them_apart():
    assert shortest(float(np.float32(0.1))) == "0.1"
    assert shortest(0.1) == "0.1"
    assert shortest(1 / 3) == "0.3333333333333333"
    assert np.float32(shortest(float(np.float32(1 / 3)))) == np.float32(1 / 3)


def test_a_character_stands_once_below_its_bytes(inference):
    cells = Cells.of(inference.trace("tiny", TEXT))
    losses = with_labels(inference.effects("tiny", TEXT, Edit((2, 3), 2.0)).losses(cells), cells)
    byte_counts = [len(character.encode()) for character in TEXT[3:]]
    expected = [
        part for tick, count in zip("␣“图书馆”.", byte_counts, strict=True) for part in [tick, *[""] * (count - 1)]
    ]
    assert losses["tick"].to_list() == expected

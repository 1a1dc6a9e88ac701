import numpy as np
import polars as pl
import pytest

from howfar.explorer import parts
from howfar.explorer.view import View


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
    assert parts.token_label(data) == label


def test_numbers_have_the_fewest_digits_that_tell_them_apart():
    assert parts.shortest(float(np.float32(0.1))) == "0.1"
    assert parts.shortest(0.1) == "0.1"
    assert parts.shortest(1 / 3) == "0.3333333333333333"
    assert np.float32(parts.shortest(float(np.float32(1 / 3)))) == np.float32(1 / 3)


def test_what_visitors_wrote_is_escaped():
    hostile = "<script>'\""
    table = parts.html_table(pl.DataFrame({"label": [hostile]})).text
    for said in (
        parts.quoted(hostile),
        table,
        parts.sentence(ValueError(hostile)).text,
        parts.save_buttons(hostile, lambda: None).text,
        parts.link_line(View(hostile, ("tiny",))).text,
    ):
        assert "<script>" not in said


def test_a_text_too_long_for_a_link_has_none():
    assert "too long for a link" in parts.link_line(View("x" * 9000, ("tiny",))).text

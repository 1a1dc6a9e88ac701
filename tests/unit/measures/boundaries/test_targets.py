"""Which gaps count, and where boundaries are found by rule."""

import pytest

from howfar.measures.boundaries.targets import TARGETS


def candidates(target: str, text: str) -> str:
    """The text with a bar at each gap that counts."""
    chosen = TARGETS[target].candidates(text)
    assert len(chosen) == len(text)
    return "".join(f"|{character}" if here else character for character, here in zip(text, chosen, strict=True))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("chinese-words", "ab 天|气|好。天1天|气"),
        ("words", "a|b |天|气|好|。|天|1|天|气"),
        ("delimiters", "a|b| |天|气|好|。|天|1|天|气"),
    ],
)
def test_gaps_that_count(target: str, expected: str) -> None:
    assert candidates(target, expected.replace("|", "")) == expected


def test_sentences_are_asked_about_where_words_begin() -> None:
    assert candidates("sentences", "One, two. Three") == "One|, |two|. |Three"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", ["", "a", " ", "天"])
def test_a_text_of_at_most_one_character_has_no_gaps(target: str, text: str) -> None:
    assert not TARGETS[target].candidates(text).any()


@pytest.mark.parametrize(
    ("target", "text", "units"),
    [
        ("words", "It's well-known, no?", ["It's", "well-known", ",", "no", "?"]),
        ("sentences", "Dr. No left. He ran!", ["Dr. No left.", "He ran!"]),
        ("delimiters", "a,b;c", ["a", ",b", ";c"]),
        ("chinese-words", "我们住在北京", ["我们", "住", "在", "北京"]),
    ],
)
def test_boundaries_by_rule(target: str, text: str, units: list[str]) -> None:
    found = TARGETS[target].segment(text).units
    assert found == units


@pytest.mark.parametrize("target", TARGETS)
def test_boundaries_are_among_the_gaps_that_count(target: str) -> None:
    text = "Dr. No left Kiev, 我们住在北京。他走了! He ran.\nThe end."
    chosen = TARGETS[target].candidates(text)
    boundaries = TARGETS[target].segment(text).boundaries
    inside = [place for place in boundaries if chosen[place]]
    assert inside
    if target in ("words", "delimiters"):
        assert inside == list(boundaries)

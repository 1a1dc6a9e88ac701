"""Made-up text: its truths by construction, and what it says of its own chances."""

import math
from collections import Counter

import numpy as np
import pytest

from howfar.errors import ConfigError
from howfar.measures.calibration import planted
from howfar.measures.calibration.planted import KINDS, LENGTHS, LETTERS, Lexicon, maker_of, with_random_boundaries

LEXICON = Lexicon(("aab", "aac", "bcd", "bcde"[::-1]))  # edcb
GENERATOR = np.random.default_rng


def test_a_lexicon_knows_the_chances_of_its_letters() -> None:
    assert LEXICON.probabilities[""] == {"a": 0.5, "b": 0.25, "e": 0.25}
    assert LEXICON.probabilities["aa"] == {"b": 0.5, "c": 0.5}
    assert LEXICON.entropies["aab"] == pytest.approx([1.5 * math.log(2), 0.0, math.log(2)])
    assert LEXICON.surprisals["bcd"] == pytest.approx([math.log(4), 0.0, 0.0])
    for unit in LEXICON.units:  # each is as likely as the others
        assert sum(LEXICON.surprisals[unit]) == pytest.approx(math.log(4))


def test_a_lexicon_has_one_reading() -> None:
    for units in (("ab", "abc"), ("ab", "ab"), ()):
        with pytest.raises(ConfigError, match="give different units"):
            Lexicon(units)
    with pytest.raises(ConfigError, match="ask for fewer"):
        Lexicon.draw(GENERATOR(0), 10, letters="a")


def test_drawn_units_are_different_and_of_the_lengths_asked_for() -> None:
    lexicon = Lexicon.draw(GENERATOR(0), 64)
    assert len(set(lexicon.units)) == 64
    assert {len(unit) for unit in lexicon.units} == set(LENGTHS)
    assert set("".join(lexicon.units)) <= set(LETTERS)
    assert lexicon == Lexicon.draw(GENERATOR(0), 64) != Lexicon.draw(GENERATOR(1), 64)


@pytest.mark.parametrize("kind", ["marked", "predictable"])
def test_boundaries_stand_where_units_begin(kind: planted.Kind) -> None:
    document = maker_of(kind, LEXICON)(GENERATOR(0), 200)
    assert set(document.segmentation.units) == set(LEXICON.units)
    delimiter = " " if kind == "marked" else ""
    assert delimiter.join(document.segmentation.units) == document.text
    letters = len(document.text.replace(" ", ""))
    assert 200 <= letters < 200 + max(LENGTHS)
    # Who knows the lexicon is surprised by the choice of each unit, and by nothing else.
    assert document.surprisal_nats.sum() == pytest.approx(len(document.segmentation.units) * math.log(4))
    assert len(document.entropy_nats) == len(document.surprisal_nats) == len(document.text)
    begins = [0, *document.segmentation.boundaries]
    assert document.entropy_nats[begins] == pytest.approx([1.5 * math.log(2)] * len(begins))
    inside = np.delete(document.entropy_nats, begins)
    assert inside.max() == pytest.approx(math.log(2))


def test_entropy_is_the_mean_surprisal() -> None:
    document = planted.predictable(GENERATOR(0), Lexicon.draw(GENERATOR(1), 32), 40_000)
    assert document.surprisal_nats.mean() == pytest.approx(document.entropy_nats.mean(), rel=0.01)


def test_random_text_tells_nothing() -> None:
    document = planted.random(GENERATOR(0), 40_000)
    assert set(document.entropy_nats) == set(document.surprisal_nats) == {math.log(16)}
    counts = Counter(document.text)
    assert set(counts) == set(LETTERS)
    assert max(counts.values()) / min(counts.values()) < 1.15
    begins = np.zeros(len(document.text), dtype=bool)
    begins[list(document.segmentation.boundaries)] = True
    assert begins.mean() == pytest.approx(1 / np.mean(LENGTHS), rel=0.02)
    after = Counter(np.array(list(document.text))[begins])  # as often a as p where a unit begins
    assert max(after.values()) / min(after.values()) < 1.35


def test_random_boundaries_leave_the_text_as_it_is() -> None:
    document = planted.predictable(GENERATOR(0), LEXICON, 3000)
    at_random = with_random_boundaries(GENERATOR(1), document)
    assert at_random.text == document.text
    assert set(np.diff(at_random.segmentation.boundaries)) == set(LENGTHS)
    shared = set(at_random.segmentation.boundaries) & set(document.segmentation.boundaries)
    chance = len(at_random.segmentation.boundaries) * len(document.segmentation.boundaries) / len(document.text)
    assert len(shared) == pytest.approx(chance, rel=0.2)


def test_every_kind_has_a_maker_that_repeats_itself() -> None:
    for kind in KINDS:
        first, second = (maker_of(kind, LEXICON)(GENERATOR(5), 50) for _ in range(2))
        assert first.segmentation == second.segmentation

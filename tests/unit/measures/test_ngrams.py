import math
from collections import Counter

import numpy as np
import pytest

from howfar.measures.ngrams import WordCounts, gap_statistics

BLOCKS = ["天气很好天气不好", "今天天气好\0明天很好"]


def gap(text: str) -> np.ndarray:
    """The gap in the middle of four characters; `_` is beyond the text."""
    return np.array([[0 if character == "_" else ord(character) for character in text]], dtype=np.uint32)


def entropy(counts: Counter[str]) -> float:
    total = counts.total()
    return -sum(count / total * math.log(count / total) for count in counts.values())


def after(context: str) -> Counter[str]:
    """What follows a context; a document's end is a character like any other."""
    padded = [f"\0{block}\0" for block in BLOCKS]
    return Counter(
        block[i + len(context)]
        for block in padded
        for i in range(len(block) - len(context))
        if block[i : i + len(context)] == context
    )


def test_entropy_of_what_follows_two_characters():
    assert gap_statistics(BLOCKS, gap("天气很好")).entropy_after[0] == pytest.approx(entropy(after("天气")))


def test_entropy_of_what_precedes_two_characters():
    # 很好 occurs twice: after 气 and after 天.
    assert gap_statistics(BLOCKS, gap("天气很好")).entropy_before[0] == pytest.approx(math.log(2))


def test_a_context_that_never_occurs_is_shortened():
    assert gap_statistics(BLOCKS, gap("坏天气好")).entropy_after[0] == pytest.approx(entropy(after("天")))


def test_a_character_that_never_occurs_says_nothing():
    statistics = gap_statistics(BLOCKS, gap("_坏坏_"))
    assert statistics.branching_entropy[0] == 0
    assert statistics.pmi[0] == pytest.approx(math.log(statistics.num_characters))


def test_pmi_is_high_inside_a_word_and_low_across_words():
    inside, across = gap_statistics(BLOCKS, np.concatenate([gap("天天气很"), gap("天天很好")])).pmi
    # 天气 3 times; 天 5 times, 气 3 times, in 17 characters.
    assert inside == pytest.approx(math.log((3 + 1) * 17 / ((5 + 1) * (3 + 1))))
    assert across < inside


def test_no_text_gives_no_information():
    statistics = gap_statistics([], gap("天气很好"))
    assert statistics.num_characters == 0
    assert statistics.branching_entropy[0] == 0


def test_words_and_their_neighbours():
    counts = WordCounts.of(["New York and New Jersey.\nYork, New York"])
    assert counts.words["New"] == 3
    assert counts.pairs["New", "York"] == 2
    assert counts.words.total() == 8


@pytest.mark.parametrize("between", [", ", ".", "\n", " 12 ", "\0", " - "])
def test_words_separated_by_more_than_blanks_are_no_pair(between):
    assert not WordCounts.of([f"New{between}York"]).pairs


@pytest.mark.parametrize("word", ["don't", "well-known", "Äußeres", "I’m"])
def test_marks_inside_a_word_belong_to_it(word):
    assert WordCounts.of([f"a {word} b"]).pairs["a", word] == 1


def test_only_pairs_that_are_asked_for():
    counts = WordCounts.of(["a b a c b a"], wanted=lambda first, second: first == "b")
    assert dict(counts.pairs) == {("b", "a"): 2}
    assert counts.words["a"] == 3

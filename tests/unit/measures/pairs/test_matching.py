import random

import numpy as np
import pytest

from howfar.errors import NotMeasurableError
from howfar.measures.pairs import matching
from howfar.measures.pairs.lists import Pair
from howfar.measures.pairs.matching import CALIPER, MIN_COUNT, Counted, match, match_chinese, match_english


def counted(first_counts: list[int], pair_counts: list[int], name: str, capital: bool = False) -> Counted:
    letter = "A" if capital else "a"
    pairs = [Pair(f"{letter}{name}{number}", "b", "x") for number in range(len(first_counts))]
    return Counted(pairs, np.array(first_counts), np.array(pair_counts))


def is_capital(pair: Pair) -> bool:
    return pair.first[0].isupper()


ENTITIES = counted([100, 1000, 10_000], [50, 50, 5000], "entity")


def test_finds_the_nearest() -> None:
    candidates = counted([110, 101, 1020, 10_000], [52, 50, 51, 5100], "other")
    found = match(ENTITIES, candidates, is_capital)
    assert [pair.first for pair in found.controls.pairs] == ["aother1", "aother2", "aother3"]
    assert len(found.entities.pairs) == 3
    table = found.table()
    assert table["control_first_count"].to_list() == [101, 1020, 10_000]
    assert table["entity_continuation"].to_list() == [0.5, 0.05, 0.5]


def test_none_is_used_twice_and_all_together_are_closest() -> None:
    twins = counted([100, 100, 10_000], [50, 50, 50], "entity")
    # Both twins prefer the first candidate; one of them has to take the other.
    found = match(twins, counted([100, 105, 9999], [50, 51, 50], "other"), is_capital)
    assert sorted(pair.first for pair in found.controls.pairs) == ["aother0", "aother1", "aother2"]


def test_calipers_leave_the_unlike_out() -> None:
    found = match(ENTITIES, counted([100, 1000, 500], [50, 990, 250], "other"), is_capital)
    assert [pair.first for pair in found.entities.pairs] == ["aentity0"]
    distance = np.abs(found.entities.covariates() - found.controls.covariates())
    assert (distance <= CALIPER).all()


def test_strata_are_kept() -> None:
    with pytest.raises(NotMeasurableError, match="none of 3 entities matches one of 3 bigrams"):
        match(ENTITIES, counted([100, 1000, 10_000], [50, 50, 5000], "other", capital=True), is_capital)


def test_balance_is_reported() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(1000, 5000, 40)
    entities = counted(first.tolist(), (first // generator.integers(2, 6, 40)).tolist(), "entity")
    first = generator.integers(500, 5000, 4000)
    candidates = counted(first.tolist(), (first // generator.integers(2, 50, 4000)).tolist(), "other")
    found = match(entities, candidates, is_capital)
    assert len(found.entities.pairs) == 40
    assert abs(found.before["log_continuation_odds"]) > 1
    assert found.largest_imbalance == max(map(abs, found.after.values())) < 0.1


def test_rare_entities_cannot_be_matched() -> None:
    with pytest.raises(NotMeasurableError, match="0 of the entities and 1 other bigrams occur 10 times"):
        match(counted([100], [MIN_COUNT - 1], "entity"), counted([100], [50], "other"), is_capital)


def shuffled(parts: list[str], between: str) -> str:
    random.Random(0).shuffle(parts)
    return between.join(parts)


def test_english_counts_come_from_the_text() -> None:
    parts = (
        ["New York is"] * 30 + ["New ideas"] * 10 + ["near York"] * 5 + ["According to us"] * 31 + ["According as"] * 9
    )
    blocks = [shuffled(parts, ". ")]
    found = match_english([Pair("New", "York", "place")], lambda: blocks)
    row = found.table().row(0, named=True)
    assert (row["entity_first_count"], row["entity_count"]) == (40, 30)
    # "York is" is no candidate: York is matched only with first words that are no entity's ... and rarer than New.
    assert (row["control"], row["control_first_count"], row["control_count"]) == ("According to", 40, 31)


def test_chinese_counts_come_from_the_text() -> None:
    functions = "的是在和与"
    parts = ["北京大学很好"] * 30 + ["北京人"] * 20 + ["桌子大小"] * 9
    # A stretch that stands by itself before several function characters, 20 times before one with 大's first byte.
    parts += [f"桌子{character}" for character in functions for _ in range({"和": 30, "在": 1}.get(character, 5))]
    # This one only ever stands before one of them, so it may be a part of a longer word.
    parts += ["椅背和平"] * 30 + ["椅背"] * 20
    blocks = [shuffled(parts, "。")]
    found = match_chinese([Pair("北京", "大学", "organisation")], lambda: blocks)
    row = found.table().row(0, named=True)
    text = blocks[0]
    assert (row["entity_first_count"], row["entity_count"]) == (text.count("北京"), text.count("北京大")) == (50, 30)
    assert row["control"] == "桌子和"
    assert (row["control_first_count"], row["control_count"]) == (text.count("桌子"), text.count("桌子和"))
    assert row["control"][2].encode()[0] == "大".encode()[0]


def test_rare_characters_are_not_taken_for_others() -> None:
    # U+20BB7 and U+0BB7 share their lowest sixteen bits, and the bit above them would change the character before.
    rare, twin = "\U00020bb7", "\u0bb7"
    parts = [f"东{rare}山"] * 20 + [f"东{rare}"] * 20 + [f"东{twin}山"] * 50 + [f"丞{twin}"] * 50
    blocks = [shuffled(parts, "。")]
    counts = counts_of([rare, twin, f"东{rare}", f"东{rare}山", f"丞{twin}"], blocks)
    assert counts == [40, 100, 40, 20, 50]


def counts_of(texts: list[str], blocks: list[str]) -> list[int]:
    """By the measure, which is to agree with a count of the text."""
    found = matching._count(blocks, texts).tolist()
    assert found == [sum(block.count(text) for block in blocks) for text in texts]
    return found

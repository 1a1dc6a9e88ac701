"""The largest of a stream, against sorting all of it."""

import numpy as np

from howfar.measures.contexts.passages import Candidate, Extremes, choose


def candidate(value: float, key: object = None, section: int = 0, place: int = 0) -> Candidate[str]:
    return Candidate(value, value if key is None else key, section, place, f"item {value}")


def test_the_largest_are_kept_whatever_their_order() -> None:
    values = np.random.default_rng(0).permutation(1000).tolist()
    pool = Extremes[str](7)
    for value in values:
        pool.offer(candidate(value))
    assert [found.value for found in pool.candidates] == list(range(999, 992, -1))
    assert 900 < pool.threshold < 999


def test_memory_is_bounded() -> None:
    pool = Extremes[str](7)
    for value in range(1000):
        pool.offer(candidate(value))
        assert len(pool._found) < 14


def test_of_near_duplicates_the_largest_stays_and_of_equal_ones_the_first() -> None:
    pool = Extremes[str](3)
    for value, key in ((1.0, "a"), (3.0, "a"), (2.0, "a"), (2.5, "b"), (2.5, "c"), (2.5, "d"), (2.5, "b")):
        pool.offer(candidate(value, key))
    assert [(found.value, found.key) for found in pool.candidates] == [(3.0, "a"), (2.5, "b"), (2.5, "c")]
    assert not pool.would_take(2.9, "a")
    assert pool.would_take(3.1, "a")


def test_few_are_chosen_of_one_section_and_none_beside_another() -> None:
    offered = [
        candidate(9, section=1, place=100),
        candidate(8, section=1, place=105),  # beside the first
        candidate(7, section=2, place=105),
        candidate(6, section=1, place=200),
        candidate(5, section=1, place=300),  # the third of its section
        candidate(4, section=3),
        candidate(3, key=4, section=4),  # a near-duplicate of the one before
        candidate(2, section=5),
        candidate(1, section=6),
    ]
    chosen = choose(offered[::-1], 5, per_section=2, apart=10)
    assert [found.value for found in chosen] == [9, 7, 6, 4, 2]

import numpy as np
import pytest

from howfar.errors import ConfigError
from howfar.reading.windows import Window, batches, check_windows, cover, pools, real_tokens, side_by_side


def covered(length: int, context: int, overlap: int, document: int = 0) -> list[tuple[int, int, int, int]]:
    """The document, first token, token past the last and first kept token of each window."""
    tokens = np.arange(length)
    windows = cover(tokens, context, overlap, document)
    for window in windows:
        assert np.array_equal(window.tokens, tokens[window.start : window.stop])
        assert np.array_equal(window.tokens[window.kept], tokens[window.kept_from : window.stop])
    return [(window.document, window.start, window.stop, window.kept_from) for window in windows]


def test_a_short_sequence_is_one_window() -> None:
    assert covered(5, 8, 2) == [(0, 0, 5, 0)]
    assert covered(8, 8, 2) == [(0, 0, 8, 0)]


def test_later_windows_begin_with_left_context_and_the_last_is_full() -> None:
    assert covered(16, 8, 2, document=3) == [(3, 0, 8, 0), (3, 6, 14, 8), (3, 8, 16, 14)]


def test_batches_hold_windows_of_similar_length_within_their_size() -> None:
    windows = [Window(i, np.arange(length)) for i, length in enumerate([2, 8, 3, 8, 1])]
    lengths = [[len(window) for window in batch] for batch in batches(windows, 16)]
    assert lengths == [[8, 8], [3, 2, 1]]
    assert [[len(window) for window in batch] for batch in batches(windows, 1)] == [[8], [8], [3], [2], [1]]
    assert list(batches([], 16)) == []


@pytest.mark.parametrize(("context", "overlap"), [(1, 1), (8, 0), (8, 8), (-5, 1)])
def test_windows_that_cannot_cover_are_refused(context: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="it needs a context of at least 2 and an overlap of 1 to context - 1"):
        check_windows(context, overlap)


def test_empty_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch size of 0; it needs at least 1 window at a time"):
        check_windows(8, 2, 0)


def test_windows_side_by_side_are_filled_up_behind_their_ends() -> None:
    windows = [Window(0, np.array([7, 8, 9])), Window(1, np.array([5]))]
    assert side_by_side(windows).tolist() == [[7, 8, 9], [5, 0, 0]]
    assert real_tokens(windows).tolist() == [[True, True, True], [True, False, False]]


def test_pools_are_at_least_so_large_and_take_no_more_than_they_need() -> None:
    taken: list[int] = []
    found = pools((taken.append(size) or size for size in [3, 1, 4, 1, 5]), int, 4)
    assert next(found) == [3, 1]
    assert taken == [3, 1]
    assert list(found) == [[4], [1, 5]]
    assert list(pools([2], int, 4)) == [[2]]
    assert list(pools([], int, 4)) == []

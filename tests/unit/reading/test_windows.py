import pytest

from howfar.errors import ConfigError
from howfar.reading.windows import Window, batches, check_windows, cover


def test_a_short_sequence_is_one_window() -> None:
    assert cover(5, 8, 2) == [Window(0, 0, 5, 0)]
    assert cover(8, 8, 2) == [Window(0, 0, 8, 0)]


def test_later_windows_begin_with_left_context_and_the_last_is_full() -> None:
    assert cover(16, 8, 2, sequence=3) == [Window(3, 0, 8, 0), Window(3, 6, 14, 8), Window(3, 8, 16, 14)]


def test_batches_hold_windows_of_similar_length_within_their_size() -> None:
    windows = [Window(i, 0, length, 0) for i, length in enumerate([2, 8, 3, 8, 1])]
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

import pickle

import numpy as np
import pytest

from howfar.corpus.windows import Windows
from howfar.errors import ConfigError, CorpusError


def test_a_window_is_a_function_of_seed_and_index_alone(corpus):
    windows = Windows(corpus.train, length=6, seed=3, num_windows=3000)
    expected = [windows[index].tolist() for index in range(3000)]
    fresh = Windows(corpus.train, length=6, seed=3, num_windows=3000)
    for index in (2999, 0, 1024, 1023, 5):  # any order, across blocks
        assert fresh[index].tolist() == expected[index]
    assert Windows(corpus.train, length=6, seed=3, num_windows=10)[9].tolist() == expected[9]
    other = Windows(corpus.train, length=6, seed=4, num_windows=3000)
    assert [other[index].tolist() for index in range(20)] != expected[:20]


def test_windows_are_runs_of_the_split(corpus):
    windows = Windows(corpus.train, length=6, seed=0, num_windows=2000)
    starts = windows.starts()
    assert len(windows) == len(starts) == 2000
    assert windows[7].dtype == np.int64
    for index in (0, 1500):
        start = windows.start_of(index)
        assert starts[index] == start
        assert windows[index].tolist() == corpus.train.tokens[start : start + 6].tolist()


def test_a_worker_process_gets_the_place_of_the_tokens_not_a_copy(corpus):
    windows = Windows(corpus.train, length=6, seed=0, num_windows=100)
    assert not isinstance(windows[0], np.memmap)
    pickled = pickle.dumps(windows)
    assert b"train" in pickled
    assert corpus.train.tokens[:40].tobytes() not in pickled
    assert [window.tolist() for window in pickle.loads(pickled)] == [window.tolist() for window in windows]


def test_every_place_is_drawn_about_equally_often(corpus):
    num_places = len(corpus.train.tokens) - 6 + 1
    counts = np.bincount(Windows(corpus.train, 6, seed=1, num_windows=100 * num_places).starts(), minlength=num_places)
    assert len(counts) == num_places
    # Chi-square with 74 degrees of freedom: 130 is beyond the 0.9999 quantile.
    assert ((counts - 100) ** 2 / 100).sum() < 130


def test_index_out_of_range_ends_iteration(corpus):
    windows = Windows(corpus.train, 6, seed=0, num_windows=3)
    assert windows[-1].tolist() == windows[2].tolist()
    assert len(list(windows)) == 3


@pytest.mark.parametrize("change", [{"length": 1}, {"seed": -1}, {"num_windows": 0}])
def test_windows_out_of_range_are_refused(corpus, change):
    with pytest.raises(ConfigError, match=r"length, num_windows and seed are .*; give at least 2, 1 and 0"):
        Windows(corpus.train, **{"length": 4, "seed": 0, "num_windows": 1, **change})


def test_a_split_shorter_than_a_window_is_refused(corpus):
    with pytest.raises(CorpusError, match="the held_out split has 83 tokens, but one window needs 84; give more text"):
        Windows(corpus.held_out, length=84, seed=0, num_windows=1)

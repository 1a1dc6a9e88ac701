"""Statistics of streams, against the same over all items at once."""

import numpy as np
import pytest

from howfar.measures.statistics.streaming import ClassMoments, StreamSample


def test_moments_of_a_stream_are_those_of_all_its_items() -> None:
    generator = np.random.default_rng(0)
    values = 1e3 + generator.normal(size=(2, 500))
    classes = generator.integers(3, size=500)
    classes[classes == 1] = 0
    moments = ClassMoments(4, 2)
    for first in range(0, 500, 7):
        moments.add(values[:, first : first + 7].astype(np.float32), classes[first : first + 7])
    kept = values.astype(np.float32).astype(np.float64)
    assert moments.counts.tolist() == [(classes == 0).sum(), 0, (classes == 2).sum(), 0]
    for of_class in (0, 2):
        assert moments.mean[:, of_class] == pytest.approx(kept[:, classes == of_class].mean(axis=1), abs=1e-9)
        assert moments.sd[:, of_class] == pytest.approx(kept[:, classes == of_class].std(axis=1), abs=1e-9)
    assert np.isnan(moments.mean[:, [1, 3]]).all()
    assert np.isnan(moments.sd[:, [1, 3]]).all()


def test_a_short_stream_is_its_own_sample() -> None:
    sample = StreamSample(10)
    for first in range(0, 9, 3):
        sample.add(np.arange(first, first + 3)[None])
    assert sample.values.tolist() == [list(range(9))]


def test_a_sample_is_uniform_and_of_the_size_asked_for() -> None:
    drawn = np.zeros(60)
    for seed in range(400):
        sample = StreamSample(12, seed)
        for first in range(0, 60, 5):
            sample.add(np.arange(first, first + 5)[None])
        assert sample.values.shape == (1, 12)
        assert len(set(sample.values[0].tolist())) == 12
        drawn[sample.values[0]] += 1
    expected, sd = 400 / 5, np.sqrt(400 * 0.2 * 0.8)
    assert np.abs(drawn - expected).max() < 4 * sd
    assert drawn[:20].sum() == pytest.approx(20 * expected, rel=0.1)  # early items and late ones alike
    assert drawn[-20:].sum() == pytest.approx(20 * expected, rel=0.1)


def test_the_same_seed_gives_the_same_sample() -> None:
    first, second, other = (StreamSample(5, seed) for seed in (1, 1, 2))
    for sample in (first, second, other):
        sample.add(np.arange(100)[None])
    assert first.values.tolist() == second.values.tolist() != other.values.tolist()


def test_nothing_has_no_sample() -> None:
    with pytest.raises(ValueError, match="the sample is empty; add items first"):
        _ = StreamSample(5).values

"""Intervals of shares: exact cases, and coverage by simulation."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from howfar.measures.statistics import proportion

NUM_DATA_SETS = 400


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_equal_answers_leave_an_interval(share):
    found = proportion(np.full(80, share), np.arange(80) // 2)
    low, high = proportion_confint(40 * share, 40, method="beta")  # 40 documents
    assert found == pytest.approx({"value": share, "low": low, "high": high})
    assert found["high"] - found["low"] == pytest.approx(1 - 0.025 ** (1 / 40))


def test_one_answer_a_document_is_the_binomial_interval():
    right = np.arange(100) < 30
    low, high = proportion_confint(30 * 99 / 100, 99, method="beta")  # the variance has n - 1 degrees of freedom
    assert proportion(right, np.arange(100)) == pytest.approx({"value": 0.3, "low": low, "high": high})


def test_answers_that_resemble_each_other_tell_less():
    right = np.arange(100) % 2
    apart = proportion(right, np.arange(100))
    together = proportion(np.repeat(right, 5), np.repeat(np.arange(100), 5))
    assert together["low"] == pytest.approx(apart["low"], abs=0.005)
    assert together["high"] == pytest.approx(apart["high"], abs=0.005)


def test_documents_in_any_order_and_by_any_number_are_the_same():
    random = np.random.default_rng(0)
    right, documents = random.random(60) < 0.4, random.integers(0, 15, 60)
    order = random.permutation(60)
    assert proportion(right[order], 1000 - documents[order]) == pytest.approx(proportion(right, documents))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("likeness", [0.0, 0.3])
def test_the_interval_covers(share, likeness):
    """Answers of one document share a chance of their own (beta distributed)."""
    random, num_covered = np.random.default_rng(0), 0
    for _ in range(NUM_DATA_SETS):
        sizes = random.integers(1, 4, 70)
        strength = (1 - likeness) / max(likeness, 1e-9)
        chances = random.beta(share * strength, (1 - share) * strength, 70) if likeness else np.full(70, share)
        documents = np.repeat(np.arange(70), sizes)
        found = proportion(random.random(len(documents)) < chances[documents], documents)
        num_covered += found["low"] <= share <= found["high"]
    assert num_covered / NUM_DATA_SETS >= 0.93

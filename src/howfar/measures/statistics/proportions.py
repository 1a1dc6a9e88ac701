"""Shares of right answers, with intervals that hold near 0 and 1 too."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from howfar.measures.statistics.studentised import LEVEL


def proportion(right: ArrayLike, documents: ArrayLike, *, level: float = LEVEL) -> dict[str, float]:
    """The share of right answers and its interval, for answers that come in documents.

    A bootstrap sees no variance where all answers are wrong, or all right. This is the exact binomial interval for as
    many independent answers as tell as much as these: fewer where answers of one document resemble each other, never
    more, and one for each document where all answers are alike.

    Args:
        right: Whether each answer is right, `[answer]`.
        documents: The document of each answer, `[answer]`; there must be two or more.
        level: Coverage of the interval.

    Returns:
        `value`, `low` and `high`.

    Source:
        Korn & Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data".
    """
    from scipy.stats import t
    from statsmodels.stats.proportion import proportion_confint

    right = np.asarray(right, np.float64)
    _, numbers = np.unique(documents, return_inverse=True)
    num_answers, num_documents = len(right), int(numbers.max()) + 1
    share = float(right.mean())
    residuals = np.bincount(numbers, right - share)  # of each document
    variance = num_documents / (num_documents - 1) * float(np.square(residuals).sum()) / num_answers**2
    num_effective = float(num_documents)
    if variance > 0:
        tails = (1 - level) / 2
        widening = float(t.ppf(tails, num_documents - 1) / t.ppf(tails, num_answers - 1)) ** 2
        num_effective = min(num_answers, share * (1 - share) / variance / widening)
    low, high = proportion_confint(share * num_effective, num_effective, alpha=1 - level, method="beta")
    return {"value": share, "low": float(low), "high": float(high)}

"""How often intervals cover the truth, by kind of interval and number of documents: data sets whose truth is known.

Documents differ from each other and items of a document are alike, as in text. An interval is right if about 95% of
data sets have the truth in it; with 1,000 data sets the share is known to within 1.4 points.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py --data-sets 1000

The last line of output is JSON. It takes about forty minutes with 1,000 data sets, two with 50.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from howfar.measures.statistics import mean, nested_scores, over_seeds, rank_correlation, ratio, roc_auc

Generator = np.random.Generator
Covered = Callable[[Generator, int], bool]

DOCUMENTS = (10, 12, 20, 30, 100)
ITEMS = 25
"""Of a document, on average."""


def covers(estimate: object, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)  # type: ignore[attr-defined]


def clustered(generator: Generator, num: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents of items, labels, and a shift of each document's own."""
    documents = np.repeat(np.arange(num), np.maximum(3, generator.poisson(ITEMS, size=num)))
    return documents, generator.random(len(documents)) < 0.4, generator.normal(0, 0.5, size=num)[documents]


def apart(auc: float) -> float:
    """How far apart normal scores of variance 1.25 are that have an AUC."""
    return float(math.sqrt(2.5) * stats.norm.ppf(auc))


def mean_of(draw: Callable[[Generator, int], np.ndarray], truth: float) -> Covered:
    return lambda generator, num: covers(mean(draw(generator, num), np.arange(num)), truth)


def losses(generator: Generator, num: int) -> bool:
    sizes = generator.lognormal(3, 0.8, size=num)
    rates = 1.5 + 0.1 * (np.log(sizes) - 3) + generator.normal(0, 0.3, size=num)
    return covers(ratio(sizes * rates, sizes), 1.5 + 0.1 * 0.64)  # long documents have higher rates


def auc_of(auc: float) -> Covered:
    def covered(generator: Generator, num: int) -> bool:
        documents, labels, shift = clustered(generator, num)
        scores = generator.normal(size=len(labels)) + shift + labels * apart(auc)
        return covers(roc_auc(scores, labels, documents), auc)

    return covered


def within_strata(generator: Generator, num: int) -> bool:
    documents, labels, shift = clustered(generator, num)
    strata = generator.integers(20, size=len(labels))
    scores = generator.normal(size=len(labels)) + shift + labels * apart(0.6) + 2.0 * strata
    return covers(roc_auc(scores, labels, documents, strata=[strata]), 0.6)


def difference_of_aucs(generator: Generator, num: int) -> bool:
    documents, labels, shift = clustered(generator, num)
    scores = generator.normal(size=(2, len(labels))) + shift + labels * np.array([[apart(0.75)], [apart(0.65)]])
    aucs = roc_auc(scores, labels, documents)
    return covers(aucs[0] - aucs[1], 0.1)


def six_together(generator: Generator, num: int) -> bool:
    documents, labels, shift = clustered(generator, num)
    truths = np.array([0.5, 0.5, 0.55, 0.6, 0.7, 0.8])
    scores = generator.normal(size=(6, len(labels))) + shift + labels * np.array([[apart(auc)] for auc in truths])
    together = roc_auc(scores, labels, documents).simultaneous(0.5)
    return bool(((together.low <= truths) & (truths <= together.high)).all())


def correlation_of_ranks(generator: Generator, num: int) -> bool:
    documents, _, shift = clustered(generator, num)
    x, y = generator.normal(size=(2, len(documents))) + shift
    return covers(rank_correlation(x, y, documents), 6 / math.pi * math.asin(0.2 / 2))  # 0.25 / 1.25 is shared


def useless_addition(generator: Generator, num: int) -> bool:
    documents, _, _ = clustered(generator, num)
    known, useless = generator.normal(size=(2, len(documents), 1))
    labels = generator.random(len(documents)) < 1 / (1 + np.exp(-1.5 * known[:, 0]))
    models = nested_scores(known, [useless], labels, documents)
    return covers(models.gains(labels, documents)[0], 0.0)


def seeds(num_seeds: int) -> Covered:
    def covered(generator: Generator, num: int) -> bool:
        own, common = generator.normal(0, 0.2, size=num_seeds), generator.normal(0, 1, size=num)
        models = [mean(common + seed + generator.normal(0, 0.5, size=num), np.arange(num)) for seed in own]
        low, high = over_seeds(models).interval()
        return low <= 0 <= high

    return covered


KINDS: dict[str, Covered] = {
    "mean, normal documents": mean_of(lambda generator, num: generator.normal(size=num), 0.0),
    "mean, documents as skewed as a lognormal": mean_of(
        lambda generator, num: generator.lognormal(size=num), math.exp(0.5)
    ),
    "nats per byte, documents of very different size": losses,
    "AUC of 0.5": auc_of(0.5),
    "AUC of 0.7": auc_of(0.7),
    "AUC of 0.95": auc_of(0.95),
    "AUC within strata": within_strata,
    "difference of two AUCs": difference_of_aucs,
    "six AUCs together": six_together,
    "rank correlation": correlation_of_ranks,
    "gain by a useless addition (truth 0)": useless_addition,
    "3 seeds": seeds(3),
    "5 seeds": seeds(5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=1000)
    parser.add_argument("--documents", type=int, nargs="*", default=DOCUMENTS)
    parser.add_argument("--kinds", nargs="*", default=tuple(KINDS), choices=tuple(KINDS))
    options = parser.parse_args()
    print("| interval | " + " | ".join(f"{num} documents" for num in options.documents) + " |")
    print("|---|" + "---|" * len(options.documents))
    found: dict[str, dict[int, float]] = {}
    for kind in options.kinds:
        found[kind] = {
            num: sum(KINDS[kind](np.random.default_rng([seed, num]), num) for seed in range(options.data_sets))
            / options.data_sets
            for num in options.documents
        }
        print(f"| {kind} | " + " | ".join(f"{100 * share:.1f}%" for share in found[kind].values()) + " |", flush=True)
    print(json.dumps({"data_sets": options.data_sets, "coverage": found}))


if __name__ == "__main__":
    main()

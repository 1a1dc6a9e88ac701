"""How often fitted scores are called better than chance, or additions useful, where there is nothing to find.

Items of made-up documents are alike, as in text; models are fitted to four fifths of the documents and score the rest.
A test at 5% is right if about 5% of data sets have an interval that leaves out the truth; with 400 data sets the share
is known to within about 2.1 points. The last rows have something to find: there the truth is the mean over data sets,
and the last column says how often it is found.

    OMP_NUM_THREADS=1 python benchmarks/nulls.py --data-sets 400

The last line of output is JSON. It takes about half an hour with 400 data sets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np

from howfar.measures.statistics import nested_scores, probe_scores
from howfar.measures.statistics.studentised import Studentised

Generator = np.random.Generator
Labelled = tuple[np.ndarray, np.ndarray, np.ndarray]

DOCUMENTS, ITEMS = 40, 25


def features(generator: Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Documents, and features `[item, feature]` that are alike in each of them."""
    documents = np.repeat(np.arange(DOCUMENTS), ITEMS)
    own = generator.normal(0, 0.5, size=(DOCUMENTS, num))
    return documents, generator.normal(size=(len(documents), num)) + own[documents]


def drawn(generator: Generator, log_odds: np.ndarray) -> np.ndarray:
    """Labels `[item]`; documents differ in how many of them are positive."""
    own = generator.normal(0, 0.5, size=DOCUMENTS)[np.repeat(np.arange(DOCUMENTS), ITEMS)]
    return np.asarray(generator.random(len(log_odds)) < 1 / (1 + np.exp(0.4 - log_odds - own)))


def probe(num: int, strength: float = 0.0, kind: str = "linear") -> Callable[[Generator], Studentised]:
    """A probe of some features, which all say a little."""

    def estimate(generator: Generator) -> Studentised:
        documents, columns = features(generator, num)
        labels = drawn(generator, strength * columns.sum(axis=1) / np.sqrt(num))
        return probe_scores(columns, labels, documents, kind=kind).auc(labels, documents)  # type: ignore[arg-type]

    return estimate


def base(generator: Generator) -> Studentised:
    """A spline of one feature that says nothing."""
    documents, columns = features(generator, 1)
    labels = drawn(generator, 0 * columns[:, 0])
    return nested_scores(columns, [], labels, documents).base.auc(labels, documents)


def gain(num: int = 1, strength: float = 0.0) -> Callable[[Generator], Studentised]:
    """What some features add to a good one; those after the first are useless."""

    def estimate(generator: Generator) -> Studentised:
        documents, columns = features(generator, 1 + num)
        labels = drawn(generator, 1.5 * columns[:, 0] + strength * columns[:, 1])
        models = nested_scores(columns[:, :1], list(columns.T[1:, :, None]), labels, documents)
        return models.gains(labels, documents)

    return estimate


KINDS: dict[str, tuple[Callable[[Generator], Studentised], float | None]] = {
    "AUC of a linear probe of 1 feature, useless": (probe(1), 0.5),
    "of 10 features, useless": (probe(10), 0.5),
    "of 50 features, useless": (probe(50), 0.5),
    "AUC of an MLP probe of 10 features, useless": (probe(10, kind="mlp"), 0.5),
    "AUC of a spline of 1 feature, useless": (base, 0.5),
    "gain by 1 feature, useless": (gain(), 0.0),
    "gain by any of 6 features, useless": (gain(6), 0.0),
    "AUC of a linear probe of 10 features, weak": (probe(10, 0.3), None),
    "of 10 features, strong": (probe(10, 1.0), None),
    "gain by 1 feature, weak": (gain(strength=0.25), None),
    "gain by 1 feature, strong": (gain(strength=1.0), None),
}
"""Estimates and their truth; None where that is their mean."""


def ends(estimate: Studentised) -> tuple[float, float, float]:
    """The value and the ends of its interval; of several, those of the one that lies farthest from 0."""
    if not estimate.value.size > 1:
        return tuple(np.asarray(side).item() for side in (estimate.value, estimate.low, estimate.high))  # type: ignore[return-value]
    together = estimate.simultaneous(0.0)
    farthest = int(np.argmin(together.p_value))
    return float(estimate.value[farthest]), float(together.low[farthest]), float(together.high[farthest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-sets", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=tuple(KINDS), choices=tuple(KINDS))
    options = parser.parse_args()
    print("| what is tested at 5% | mean | below the truth | above | in all | found |\n|---|---:|---:|---:|---:|---:|")
    seeds = range(options.first_seed, options.first_seed + options.data_sets)
    found: dict[str, dict[str, float]] = {}
    for kind in options.kinds:
        estimate, truth = KINDS[kind]
        values = np.array([ends(estimate(np.random.default_rng(seed))) for seed in seeds])
        mean = float(values[:, 0].mean())
        truth = mean if truth is None else truth
        below, above = float((values[:, 2] < truth).mean()), float((values[:, 1] > truth).mean())
        useful = float((values[:, 1] > (0.0 if kind.startswith("gain") else 0.5)).mean())
        found[kind] = {"mean": mean, "below": below, "above": above, "found": useful}
        shares = " | ".join(f"{100 * share:.1f}%" for share in (below, above, below + above, useful))
        print(f"| {kind} | {mean:.3f} | {shares} |", flush=True)
    print(json.dumps({"data_sets": options.data_sets, "documents": DOCUMENTS, "rejected": found}))


if __name__ == "__main__":
    main()

"""What increments say of labels beyond what is known already, in bits, and whether chance could say as much.

What is known is a model of the labels: how often a word has each, how often behind the word before it, and the entropy
of the prediction. Increments are first cleared of what these say of *them*, so that an increment which only repeats
which word stands there has nothing left to tell, and neither a rough model of labels nor a rough one of increments by
itself lets one pass for news of the other.

Source:
    Shah & Peters 2020, "The hardness of conditional independence testing and the generalised covariance measure"
    (residuals of both sides); Phipson & Smyth 2010, "Permutation p-values should never be zero".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from howfar.measures.statistics import divide

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

PRIOR = 2.0
"""So many imagined cases stand beside those of a word, and of a word behind another."""
RIDGE = 1.0
NUM_STEPS = 4
ENTROPY_DEGREE, INCREMENT_DEGREE = 5, 3
TOLERANCE, MOST_ITERATIONS = 1e-9, 1000
NOTHING_LEFT = 1e-4
"""Of its spread: what is left of an increment by the rounding of float32."""


@dataclass(frozen=True)
class Known:
    """What is known of the labels of some items without their increments.

    Attributes:
        log_chances: `[item, class]`, of models that were fitted to other documents.
        labels: `[item]`.
        folds: `[item]`.
        identity: `[item]`.
    """

    log_chances: Array
    labels: Numbers
    folds: Numbers
    identity: Numbers

    @property
    def bits(self) -> Array:
        """What each label costs, `[item]`."""
        return _bits(self.log_chances, self.labels)

    @property
    def residuals(self) -> Array:
        """Of each class, what happened less what was expected; `[item, class]`."""
        return np.eye(self.log_chances.shape[1])[self.labels] - np.exp(self.log_chances)


def known_without(labels: Numbers, identity: Numbers, previous: Numbers, entropy: Array, documents: Numbers) -> Known:
    """Predict labels from the word, the word before it and the entropy; all `[item]`.

    Raises:
        NotMeasurableError: There are fewer documents than `MIN_DOCUMENTS`.
    """
    num_classes = int(labels.max()) + 1
    most_common = labels == np.bincount(labels).argmax()
    parts, folds = divide(most_common, documents)
    looked_up = np.empty((len(labels), num_classes))
    for fitted, scored in parts:
        looked_up[scored] = _looked_up(labels, identity, previous, num_classes, fitted, scored)
    bent = _curves(entropy, ENTROPY_DEGREE)
    return Known(added(looked_up, bent, labels, folds), labels, folds, identity)


class Controls:
    """What increments are cleared of: all that is linear in the word, the word before it, the document, the entropy.

    Args:
        identity: `[item]`, which word it is.
        previous: `[item]`, which stands before it.
        entropy: `[item]`.
        documents: `[item]`.
    """

    def __init__(self, identity: Numbers, previous: Numbers, entropy: Array, documents: Numbers) -> None:
        from scipy.sparse import csr_array, hstack

        rows, columns = np.arange(len(identity)), []
        for groups in (identity, previous, documents):
            which = np.unique(groups, return_inverse=True)[1]
            sizes = np.bincount(which)
            shape = (len(rows), len(sizes))
            columns.append(csr_array((1 / np.sqrt(sizes[which]), (rows, which)), shape=shape))
        bent = _curves(entropy, ENTROPY_DEGREE)[:, 1:]
        columns.append(csr_array(bent / np.maximum(np.linalg.norm(bent, axis=0), 1e-12)))
        self._design = csr_array(hstack(columns))

    def left_of(self, values: Array) -> Array:
        """The part of `[item]` that is none of these."""
        from scipy.sparse.linalg import lsmr

        fitted = lsmr(self._design, values, atol=TOLERANCE, btol=TOLERANCE, conlim=0, maxiter=MOST_ITERATIONS)[0]
        return np.asarray(values - self._design @ fitted)

    def cleared(self, increments: Array) -> Array | None:
        """What is left of increments `[item]`, as a few curves `[item, curve]`; None where nothing is.

        Curves of what is left need not be free of the controls themselves, so they are cleared again.
        """
        left = self.left_of(increments - increments.mean())
        if left.std() <= NOTHING_LEFT * max(increments.std(), np.abs(increments).mean()):
            return None
        curves = _curves(left, INCREMENT_DEGREE)[:, 1:]
        return np.stack([self.left_of(curve) for curve in curves.T], axis=1)


def added(log_chances: Array, features: Array, labels: Numbers, folds: Numbers) -> Array:
    """Log-probabilities once features are known as well, by a logistic model fitted to other folds; `[item, class]`.

    Steps go down a bound of the loss (the Hessian without what ties the classes together), so none overshoots.

    Source:
        Böhning 1992, "Multinomial logistic regression algorithm".
    """
    result = np.empty_like(log_chances)
    targets = np.eye(log_chances.shape[1])[labels]
    ridge = RIDGE * np.eye(features.shape[1])
    for fold in np.unique(folds):
        scored, fitted = folds == fold, folds != fold
        own, base = features[fitted], log_chances[fitted]
        squares = (own[:, :, None] * own[:, None, :]).reshape(len(own), -1)
        weights = np.zeros((log_chances.shape[1], features.shape[1]))
        for _ in range(NUM_STEPS):
            chances = np.exp(_normalised(base + own @ weights.T))
            gradient = (targets[fitted] - chances).T @ own - RIDGE * weights
            curvature = (chances.T @ squares).reshape(-1, *ridge.shape) + ridge
            weights = weights + np.linalg.solve(curvature, gradient[..., None])[..., 0]
        result[scored] = _normalised(log_chances[scored] + features[scored] @ weights.T)
    return result


def gains(known: Known, curves: Array, seed: int) -> Array:
    """How many bits fewer each label costs with increments than with increments exchanged within each word; `[item]`.

    Any further feature costs a fitted model something; that is in both.
    """
    exchanged = curves[exchange(known.identity, np.random.default_rng(seed))]
    with_, without = (
        _bits(added(known.log_chances, own, known.labels, known.folds), known.labels) for own in (curves, exchanged)
    )
    return np.asarray(without - with_)


def exchange(identity: Numbers, generator: np.random.Generator) -> Numbers:
    """For each item another one of the same word, at random, each once."""
    places = np.argsort(identity, kind="stable")
    source = np.empty_like(places)
    source[places] = np.lexsort((generator.random(len(identity)), identity))
    return source


def permutation_test(
    curves: list[Array], residuals: list[Array], identity: Numbers, *, num_permutations: int, seed: int = 0
) -> Array:
    """Whether any increment goes with any label more than the largest does where they are exchanged within words.

    Args:
        curves: Of each increment, `[item, curve]`.
        residuals: Of each label, `[item, class]`; 0 for an item without the label.
        identity: `[item]`.
        num_permutations: How many exchanges.
        seed: Of the exchanges.

    Returns:
        `[increment, label]`, p-values that hold for all together (single-step max statistic).
    """
    generator = np.random.default_rng(seed)
    own = np.concatenate([_whitened(features) for features in curves], axis=1)
    scale = [1 / np.sqrt(np.maximum(np.square(part).mean(axis=0), 1e-12)) for part in residuals]
    others = np.concatenate([part * by for part, by in zip(residuals, scale, strict=True)], axis=1)
    rows = np.cumsum([0, *(features.shape[1] for features in curves)])[:-1]
    columns = np.cumsum([0, *(part.shape[1] for part in residuals)])[:-1]

    def statistic(exchanged: Array) -> Array:
        squares = np.square(own.T @ exchanged)
        return np.add.reduceat(np.add.reduceat(squares, rows, axis=0), columns, axis=1)

    observed = statistic(others)
    by_chance = np.stack([statistic(others[exchange(identity, generator)]) for _ in range(num_permutations)])
    # Cells differ in how much they vary by chance: each is measured in its own spread.
    every = np.concatenate([observed[None], by_chance])
    every = (every - every.mean(axis=0)) / np.maximum(every.std(axis=0), 1e-12)
    largest = every[1:].max(axis=(1, 2))
    return np.asarray((1 + (largest[:, None, None] >= every[0]).sum(axis=0)) / (1 + num_permutations))


def _looked_up(
    labels: Numbers, identity: Numbers, previous: Numbers, num_classes: int, fitted: Numbers, scored: Numbers
) -> Array:
    """Log-chances of the labels of some items by the counts of others, `[scored, class]`.

    Those of a word behind another begin from those of each by itself, as if they were independent given the label.
    """
    counted = np.eye(num_classes)[labels[fitted]]
    overall = (counted.sum(axis=0) + 1 / num_classes) / (len(fitted) + 1)
    of_word, of_previous = (
        _shrunken(counted, groups[fitted], groups[scored], overall[None]) for groups in (identity, previous)
    )
    both = of_word * of_previous / overall
    both /= both.sum(axis=1, keepdims=True)
    pairs = identity * (int(previous.max()) + 1) + previous
    return np.log(np.maximum(_shrunken(counted, pairs[fitted], pairs[scored], both), 1e-12))


def _shrunken(counted: Array, groups: Numbers, wanted: Numbers, prior: Array) -> Array:
    """Chances of the classes in the groups wanted, each from its counts and `PRIOR` cases like the prior's."""
    names, which = np.unique(groups, return_inverse=True)
    sums = _sums(counted, which, len(names))
    places = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    own = np.where((names[places] == wanted)[:, None], sums[places], 0.0)
    return (own + PRIOR * prior) / (own.sum(axis=1, keepdims=True) + PRIOR)


def _sums(values: Array, which: Numbers, num: int) -> Array:
    return np.stack([np.bincount(which, column, num) for column in values.T], axis=1)


def _curves(values: Array, degree: int) -> Array:
    """Legendre polynomials of each value's quantile, which runs from -1 for the smallest to 1 for the largest."""
    from scipy.stats import rankdata

    return np.asarray(legendre.legvander(2 * (rankdata(values) - 0.5) / len(values) - 1, degree), np.float64)


def _whitened(features: Array) -> Array:
    """Columns of length 1 that are orthogonal and span the same."""
    left, sizes, _ = np.linalg.svd(features, full_matrices=False)
    return np.asarray(left * (sizes > 1e-9 * sizes.max()))


def _normalised(logits: Array) -> Array:
    largest = logits.max(axis=1, keepdims=True)
    return np.asarray(logits - largest - np.log(np.exp(logits - largest).sum(axis=1, keepdims=True)))


def _bits(log_chances: Array, labels: Numbers) -> Array:
    return np.asarray(-log_chances[np.arange(len(labels)), labels] / np.log(2))

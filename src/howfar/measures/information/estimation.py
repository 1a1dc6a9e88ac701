"""How many bits increments tell about labels beyond a baseline, and a test of whether that is chance.

The baseline predicts a label from its word's counts, the counts of the word after the word before it, and the entropy
of the model's prediction. Increments are replaced by their residuals given the same variables, so an increment that
only repeats the identity of the word has nothing left to tell. Both sides use residuals, so an error in the model of
the labels alone, or in that of the increments alone, does not pass for information.

Source:
    Shah & Peters 2020, "The hardness of conditional independence testing and the generalised covariance measure"
    (residuals of both sides); Phipson & Smyth 2010, "Permutation p-values should never be zero"; Canay, Romano &
    Shaikh 2017, "Randomization tests under an approximate symmetry assumption" (signs of clusters).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from howfar.measures.statistics import divide, documents_sum, numbered, permutation_within

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

PRIOR = 2.0
"""Pseudo-counts of the prior: of a word's label counts, and of those of a pair of words."""
RIDGE = 1.0
NUM_STEPS = 4
ENTROPY_DEGREE, INCREMENT_DEGREE = 5, 3
TOLERANCE, MOST_ITERATIONS = 1e-9, 1000
ROUNDING = 1e-4
"""A residual below this share of the increment's size is rounding of float32 and counts as zero."""


@dataclass(frozen=True)
class Baseline:
    """Predictions of items' labels without their increments."""

    log_probabilities: Array  # `[item, class]`, cross-fitted: by models that were fitted to other documents
    labels: Integers  # `[item]`, the true class
    folds: Integers  # `[item]`, the fold in which an item is predicted
    identity: Integers  # `[item]`, the number of its word

    @property
    def bits(self) -> Array:
        """Cross-entropy of each label, `[item]`, in bits."""
        return _bits(self.log_probabilities, self.labels)

    @property
    def residuals(self) -> Array:
        """Indicator of each class minus its predicted probability, `[item, class]`."""
        return np.eye(self.log_probabilities.shape[1])[self.labels] - np.exp(self.log_probabilities)


def fit_baseline(
    labels: Integers, identity: Integers, previous: Integers, entropy: Array, documents: Integers
) -> Baseline:
    """Predict labels from the word, the word before it and the entropy of the prediction; all `[item]`.

    Raises:
        NotMeasurableError: There are fewer documents than `MIN_DOCUMENTS`.
    """
    num_classes = int(labels.max()) + 1
    most_common = labels == np.bincount(labels).argmax()
    parts, folds = divide(most_common, documents)
    by_counts = np.empty((len(labels), num_classes))
    for fitted, scored in parts:
        by_counts[scored] = _from_counts(labels, identity, previous, num_classes, fitted, scored)
    with_entropy = refitted(by_counts, _legendre(entropy, ENTROPY_DEGREE), labels, folds)
    return Baseline(with_entropy, labels, folds, identity)


class Controls:
    """Regresses increments on indicators of the word, the word before it and the document, and on entropy."""

    def __init__(self, identity: Integers, previous: Integers, entropy: Array, documents: Integers) -> None:
        from scipy.sparse import csr_array, hstack

        rows, columns = np.arange(len(identity)), []
        for groups in (identity, previous, documents):
            which = np.unique(groups, return_inverse=True)[1]
            sizes = np.bincount(which)
            shape = (len(rows), len(sizes))
            columns.append(csr_array((1 / np.sqrt(sizes[which]), (rows, which)), shape=shape))
        curves = _legendre(entropy, ENTROPY_DEGREE)[:, 1:]
        columns.append(csr_array(curves / np.maximum(np.linalg.norm(curves, axis=0), 1e-12)))
        self._design = csr_array(hstack(columns))

    def residuals(self, values: Array) -> Array:
        """What the regression does not explain of `values`; both `[item]`."""
        from scipy.sparse.linalg import lsmr

        fitted = lsmr(self._design, values, atol=TOLERANCE, btol=TOLERANCE, conlim=0, maxiter=MOST_ITERATIONS)[0]
        return np.asarray(values - self._design @ fitted)

    def residual_curves(self, increments: Array) -> Array | None:
        """Polynomials of the residuals of increments `[item]`, as `[item, curve]`; None if the residuals are zero.

        A polynomial of residuals can depend on the controls again, so it is replaced by its own residuals.
        """
        left = self.residuals(increments - increments.mean())
        if left.std() <= ROUNDING * max(increments.std(), np.abs(increments).mean()):
            return None
        curves = _legendre(left, INCREMENT_DEGREE)[:, 1:]
        return np.stack([self.residuals(curve) for curve in curves.T], axis=1)


def refitted(log_probabilities: Array, features: Array, labels: Integers, folds: Integers) -> Array:
    """Log-probabilities `[item, class]` given further features `[item, feature]`, cross-fitted.

    A logistic regression whose offsets are the given log-probabilities. Each step minimises an upper bound of the loss
    (the Hessian without its terms between classes), so no step overshoots.

    Source:
        Böhning 1992, "Multinomial logistic regression algorithm".
    """
    from scipy.special import log_softmax

    result = np.empty_like(log_probabilities)
    targets = np.eye(log_probabilities.shape[1])[labels]
    ridge = RIDGE * np.eye(features.shape[1])
    for fold in np.unique(folds):
        scored, fitted = folds == fold, folds != fold
        inputs, offsets = features[fitted], log_probabilities[fitted]
        squares = (inputs[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
        weights = np.zeros((log_probabilities.shape[1], features.shape[1]))
        for _ in range(NUM_STEPS):
            probabilities = np.exp(log_softmax(offsets + inputs @ weights.T, axis=1))
            gradient = (targets[fitted] - probabilities).T @ inputs - RIDGE * weights
            curvature = (probabilities.T @ squares).reshape(-1, *ridge.shape) + ridge
            weights = weights + np.linalg.solve(curvature, gradient[..., None])[..., 0]
        result[scored] = log_softmax(log_probabilities[scored] + features[scored] @ weights.T, axis=1)
    return result


def gains(baseline: Baseline, curves: Array, seed: int) -> Array:
    """Bits saved on each label by increments, compared with increments permuted within each word; `[item]`.

    The permuted increments pay for the same number of fitted weights, so that cost cancels.
    """
    permuted = curves[permutation_within(baseline.identity, np.random.default_rng(seed))]
    with_, without = (
        _bits(refitted(baseline.log_probabilities, features, baseline.labels, baseline.folds), baseline.labels)
        for features in (curves, permuted)
    )
    return np.asarray(without - with_)


def dependence_test(
    curves: list[Array],
    residuals: list[Array],
    identity: Integers,
    documents: Integers,
    *,
    num_draws: int,
    seed: int = 0,
) -> Array:
    """Test whether increments and labels are dependent, in two ways; the larger p-value counts.

    Labels are permuted among items of the same word, which is exact if items are exchangeable. Neighbouring items are
    not: classes of code come in runs, and increments drift along a text. So whole documents also get random signs:
    without dependence, the products of both residuals sum to about 0 in each document, above it as often as below.

    Args:
        curves: For each increment, `[item, curve]`.
        residuals: For each label, `[item, class]`; 0 for an item without the label.
        identity: `[item]`, the number of its word.
        documents: `[item]`, the number of its document.
        num_draws: Permutations, and draws of signs.
        seed: Determines both.

    Returns:
        `[increment, label]`, p-values corrected for all increments and labels (single-step max statistic).
    """
    generator = np.random.default_rng(seed)
    increments = np.concatenate([_whitened(features) for features in curves], axis=1)
    scaled = [part / np.sqrt(np.maximum(np.square(part).mean(axis=0), 1e-12)) for part in residuals]
    labels = np.concatenate(scaled, axis=1)
    rows = np.cumsum([0, *(features.shape[1] for features in curves)])[:-1]
    columns = np.cumsum([0, *(part.shape[1] for part in residuals)])[:-1]

    which, num_documents = numbered(documents)
    by_document = documents_sum(which, num_documents)
    signs = np.vstack([np.ones(num_documents), generator.choice((-1.0, 1.0), (num_draws, num_documents))])
    of_classes = []
    for label in labels.T:  # one class at a time, because its sums are `[draw, curve]`
        sums = signs @ (by_document @ (increments * label[:, None]))
        of_classes.append(np.add.reduceat(np.square(sums), rows, axis=1))
    signed = np.add.reduceat(np.stack(of_classes, axis=-1), columns, axis=2)

    def statistic(permuted: Array) -> Array:
        squares = np.square(increments.T @ permuted)
        return np.add.reduceat(np.add.reduceat(squares, rows, axis=0), columns, axis=1)

    others = (labels[permutation_within(identity, generator)] for _ in range(num_draws))
    permuted = np.stack([statistic(labels), *map(statistic, others)])
    return np.maximum(_of_largest(signed), _of_largest(permuted))


def _of_largest(found: Array) -> Array:
    """p-values of statistics, `[draw, increment, label]`, by the largest of each draw; the first draw is the data."""
    # Statistics differ in their spread under the null hypothesis, so each is standardised.
    found = (found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-12)
    largest = found[1:].max(axis=(1, 2))
    return np.asarray((1 + (largest[:, None, None] >= found[0]).sum(axis=0)) / len(found))


def _from_counts(
    labels: Integers, identity: Integers, previous: Integers, num_classes: int, fitted: Integers, scored: Integers
) -> Array:
    """Log-probabilities `[scored, class]` of the labels of scored items, from the label counts of fitted items.

    The prior of a pair of words is the product of what each word predicts (independence given the label).
    """
    one_hot = np.eye(num_classes)[labels[fitted]]
    overall = (one_hot.sum(axis=0) + 1 / num_classes) / (len(fitted) + 1)
    of_word, of_previous = (
        _shrunken(one_hot, groups[fitted], groups[scored], overall[None]) for groups in (identity, previous)
    )
    both = of_word * of_previous / overall
    both /= both.sum(axis=1, keepdims=True)
    pairs = identity * (int(previous.max()) + 1) + previous
    return np.log(np.maximum(_shrunken(one_hot, pairs[fitted], pairs[scored], both), 1e-12))


def _shrunken(one_hot: Array, groups: Integers, wanted: Integers, prior: Array) -> Array:
    """Class probabilities `[wanted, class]` of groups, from their counts and `PRIOR` pseudo-counts of the prior."""
    names, which = np.unique(groups, return_inverse=True)
    counts = np.stack([np.bincount(which, column, len(names)) for column in one_hot.T], axis=1)
    places = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    counts = np.where((names[places] == wanted)[:, None], counts[places], 0.0)
    return (counts + PRIOR * prior) / (counts.sum(axis=1, keepdims=True) + PRIOR)


def _legendre(values: Array, degree: int) -> Array:
    """Legendre polynomials `[item, degree + 1]` of each value's quantile, scaled from -1 (smallest) to 1 (largest)."""
    from scipy.stats import rankdata

    return np.asarray(legendre.legvander(2 * (rankdata(values) - 0.5) / len(values) - 1, degree), np.float64)


def _whitened(features: Array) -> Array:
    """An orthonormal basis of the span of the columns."""
    left, sizes, _ = np.linalg.svd(features, full_matrices=False)
    return np.asarray(left * (sizes > 1e-9 * sizes.max()))


def _bits(log_probabilities: Array, labels: Integers) -> Array:
    return np.asarray(-log_probabilities[np.arange(len(labels)), labels] / np.log(2))

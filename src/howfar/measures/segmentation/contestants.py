"""The segmenters that are compared; all score the same gaps, and those that need a model use the same one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from howfar.errors import MissingExtraError
from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.scores import baseline_scores
from howfar.measures.boundaries.targets import Target
from howfar.measures.segmentation.choosing import Contestant, Folds, fixed, several
from howfar.measures.segmentation.words import Array
from howfar.measures.tables import places_of
from howfar.reading import Trace
from howfar.text.segmentation import jieba_segment

EVERY, RANDOM, INCREMENT, JIEBA = "every gap", "random at the matched rate", "increment", "jieba"


def learned(gaps: Gaps, folds: Folds, names: dict[str, str], of_layers: bool) -> Iterator[Contestant]:
    """Increments at each place. Layer, head and direction (larger or smaller at boundaries) are chosen."""
    for attribute, name in names.items():
        values, choices = getattr(gaps, attribute), []
        for index, place in places_of(gaps.traces[0].layers if of_layers else (None,), values.shape[1]):
            layer = [] if place["layer"] is None else [f"layer {place['layer']}"]
            head = [f"head {place['head']}"] if values.shape[1] > 1 else []
            for direction, sign in (("larger", 1.0), ("smaller", -1.0)):
                choices.append((", ".join([*layer, *head, direction]), sign * values[index]))
        yield several(INCREMENT, choices, folds, scored_at=name)


def predicted(gaps: Gaps, target: Target, folds: Folds) -> Iterator[Contestant]:
    """Entropy and surprisal of the model's predictions, and the target's simple rule, if it has one.

    Source:
        Pagnoni et al. 2024, "Byte latent transformer: patches scale better than tokens" (thresholds of the entropy and
        of its rise over the token before).
    """
    yield fixed("entropy", gaps.entropy, folds)
    rises = entropy_rises(gaps)
    yield fixed("entropy rise over the token before", rises[0], folds)
    if not np.array_equal(*rises):
        yield fixed("entropy rise over the unit before", rises[1], folds)
    yield fixed("surprisal", gaps.surprisal, folds)
    if not np.array_equal(gaps.surprisal, gaps.unit_surprisal):
        yield fixed("surprisal of the whole unit", gaps.unit_surprisal, folds)
    for rule in baseline_scores(gaps, target):
        yield fixed(rule.score, rule.values, folds)


def entropy_rises(gaps: Gaps) -> tuple[Array, Array]:
    """Entropy at the token after each gap, minus that at the token before the gap, or at the unit before it.

    Returns:
        Both `[gap]`, in nats; 0 where the token or unit before is the text's first, which is not predicted.
    """
    rises = np.zeros((2, len(gaps)))
    for trace, members in gaps.by_text():
        first = gaps.tokens[members]
        starts = np.array([unit.start_token for unit in trace.units])
        unit_before = starts[np.searchsorted(starts, first) - 1]
        for rise, before in zip(rises, (first - 1, unit_before), strict=True):
            rise[members] = np.where(before > 0, _entropy_of(trace, first) - _entropy_of(trace, before), 0.0)
    return rises[0], rises[1]


def matched_rate(gaps: Gaps, folds: Folds) -> Array:
    """The share of boundaries in the other folds, as the probability of a boundary at each gap; `[gap]`."""
    probabilities = np.empty(len(gaps))
    for fold in range(folds.num):
        probabilities[folds.of_gap == fold] = gaps.is_boundary[folds.of_gap != fold].mean()
    return probabilities


def jieba_boundaries(gaps: Gaps) -> Array:
    """1 at the gaps where jieba begins a word; `[gap]`.

    Raises:
        MissingExtraError: jieba is not installed.
    """
    decided = np.zeros(len(gaps))
    for trace, members in gaps.by_text():
        decided[members] = np.isin(gaps.characters[members], jieba_segment(trace.text).boundaries)
    return decided


def why_no_jieba() -> str | None:
    """Why jieba is unavailable; None if it is installed."""
    try:
        jieba_segment("")
    except MissingExtraError as error:
        return str(error)
    return None


def _entropy_of(trace: Trace, tokens: np.ndarray) -> Array:
    """Entropy of the prediction of each token, in nats; the first token has none and gets that of the second."""
    return np.asarray(trace.entropy_nats[np.maximum(tokens, 1) - 1], dtype=np.float64)

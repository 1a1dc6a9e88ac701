"""Scores that may tell boundaries, one number per gap: increments, predictions, counts, identities, fitted models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.targets import Target
from howfar.measures.ngrams import gap_statistics
from howfar.measures.seen import blocks_seen
from howfar.measures.statistics import Additions, CrossFitted, nested_scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]

CORPUS_TOKENS = 64_000_000
"""The most tokens of the training corpus that are counted."""

CORPUS_SCORES = ("-PMI", "branching entropy", "entropy after", "entropy before")
PLACES = ("first_token", "whole_unit", "token_before")
SCORED_AT = dict(zip(PLACES, ("first token", "whole unit", "token before"), strict=True))
SCORED_AT_BYTES = dict(zip(PLACES, ("lead byte", "whole character", "byte before"), strict=True))
LOOKUP = "lookup"
BASE = "lookup + entropy + surprisal"
"""The baseline without increments: how often the character (or token) before the gap and the first byte after it are
split by a boundary in other documents, and the model's predictions."""


@dataclass(frozen=True)
class Score:
    """A score of the gaps, with the fields of its row.

    Attributes:
        score: Its name.
        values: `[gap]`.
        scored_at: The token whose increment it is, if it is an increment.
        layer: Its layer; None for a score of the whole model or corpus.
        head: Its head; None for a score of the whole model or corpus.
        folds: The fold of each gap, `[gap]`, for a cross-fitted score: only scores of one fold can be compared.
        instability: How far the models of two folds disagree, as in `CrossFitted`.
    """

    score: str
    values: Array
    scored_at: str | None = None
    layer: int | None = None
    head: int | None = None
    folds: NDArray[np.int64] | None = field(default=None, repr=False)
    instability: float = 0.0


def increment_scores(gaps: Gaps, names: dict[str, str], layers: Sequence[int | None]) -> Iterator[Score]:
    """The increments at each place, layer and head."""
    for attribute, name in names.items():
        values = getattr(gaps, attribute)
        for index, layer in enumerate(layers):
            for head in range(values.shape[1]):
                yield Score("increment", values[index, head], name, layer, head)


def prediction_scores(gaps: Gaps) -> Iterator[Score]:
    """Entropy and surprisal of the model's predictions."""
    yield Score("entropy", gaps.entropy)
    yield Score("surprisal", gaps.surprisal)
    yield Score("surprisal of the whole unit", gaps.unit_surprisal)


def baseline_scores(gaps: Gaps, target: Target) -> Iterator[Score]:
    """The target's simple rule, if it has one."""
    if target.baseline is None:
        return
    name, rule = target.baseline
    found = [rule(trace.text) for trace in gaps.traces]
    starts = np.cumsum([0, *map(len, found)])
    yield Score(name, np.concatenate(found)[starts[gaps.documents] + gaps.characters].astype(np.float64))


def corpus_scores(
    corpus: Corpus, gaps: Gaps, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Iterator[Score]:
    """Statistics of neighbouring characters in the model's training text, or in a sample of the corpus."""
    counted = gap_statistics(blocks_seen(model, corpus, tokenizer, num_tokens=CORPUS_TOKENS), gaps.neighbours)
    found = (-counted.pmi, counted.branching_entropy, counted.entropy_after, counted.entropy_before)
    for name, values in zip(CORPUS_SCORES, found, strict=True):
        yield Score(name, values)


def nested(
    gaps: Gaps, names: dict[str, str], layers: Sequence[int | None], seed: int
) -> tuple[list[Score], list[Score], Additions]:
    """Cross-fitted models of boundaries with and without increments.

    To measure gains, increments are permuted among gaps after the same character (or token), so increments that only
    repeat this character gain nothing.

    Returns:
        The lookup alone and the baseline; the baseline with a layer's increments (all heads), for each place; and the
        nested models, which give the gains.
    """
    identities = np.stack([gaps.previous, gaps.previous * 256 + gaps.next_byte], axis=1)
    nothing = np.empty((len(gaps), 0))
    lookup = nested_scores(nothing, [], gaps.is_boundary, gaps.documents, categories=identities)
    predictions = np.stack([score.values for score in prediction_scores(gaps)], axis=1)
    places = [(attribute, index) for attribute in names for index in range(len(layers))]
    found = nested_scores(
        predictions,
        [getattr(gaps, attribute)[index].T for attribute, index in places],
        gaps.is_boundary,
        gaps.documents,
        categories=identities,
        permute_within=gaps.previous,
        seed=seed,
    )
    baselines = [_fitted(LOOKUP, lookup.base), _fitted(BASE, found.base)]
    with_increments = [
        _fitted(f"{BASE} + increment", found.more[number], names[attribute], layers[index])
        for number, (attribute, index) in enumerate(places)
    ]
    return baselines, with_increments, found


def _fitted(name: str, found: CrossFitted, scored_at: str | None = None, layer: int | None = None) -> Score:
    return Score(name, found.scores, scored_at, layer, folds=found.folds, instability=float(found.instability))

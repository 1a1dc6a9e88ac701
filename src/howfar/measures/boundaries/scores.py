"""Scores that may tell boundaries, one number per gap: increments, predictions, counts, identities, fitted models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.targets import Target
from howfar.measures.ngrams import gap_statistics
from howfar.measures.seen import blocks_seen
from howfar.measures.statistics import Additions, CrossFitted, nested_scores
from howfar.measures.tables import Row, places_of
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]

CORPUS_TOKENS = 64_000_000
"""The most tokens of the training corpus that are counted."""

CORPUS_SCORES = ("-PMI", "branching entropy", "entropy after", "entropy before")
PLACES = ("first_token", "whole_unit", "token_before")
LOOKUP = "lookup"
BASE = "lookup + entropy + surprisal"
"""The baseline without increments: how often the character (or token) before the gap and the first byte after it are
split by a boundary in other documents, and the model's predictions."""


@dataclass(frozen=True)
class Score:
    """A score of the gaps, with the fields of its row."""

    score: str  # its name
    values: Array  # `[gap]`
    scored_at: str | None = None  # the token whose increment it is, if it is an increment
    layer: int | None = None  # None for a score of the whole model or corpus, as for the head
    head: int | None = None
    folds: NDArray[np.int64] | None = field(default=None, repr=False)  # `[gap]`, of a cross-fitted score
    instability: float = 0.0  # how far the models of two folds disagree, as in `CrossFitted`

    @classmethod
    def fitted(cls, score: str, found: CrossFitted, **row: Any) -> Score:
        """A cross-fitted score, of which only those of one fold can be compared."""
        return cls(score, found.scores, **row, folds=found.folds, instability=float(found.instability))

    def row(self, quantity: str) -> Row:
        """What identifies its row of a quantity."""
        return {"quantity": quantity} | {name: getattr(self, name) for name in ("score", "scored_at", "layer", "head")}


def scored_at(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """The names of the places whose increments are scored, by attribute of `Gaps`."""
    of_bytes = ("lead byte", "whole character", "byte before")
    of_tokens = ("first token", "whole unit", "token before")
    return dict(zip(PLACES, of_bytes if is_byte_tokenizer(tokenizer) else of_tokens, strict=True))


def increment_scores(gaps: Gaps, names: dict[str, str], layers: Sequence[int | None]) -> Iterator[Score]:
    """The increments at each place, layer and head."""
    for attribute, name in names.items():
        values = getattr(gaps, attribute)
        for index, place in places_of(layers, values.shape[1]):
            yield Score("increment", values[index], name, **place)


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
    corpus: Corpus | None, gaps: Gaps, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Score], str]:
    """Statistics of neighbouring characters in the model's training text, or in a sample; and why there are none."""
    if corpus is None:
        return [], "no training corpus"
    try:
        counted = gap_statistics(blocks_seen(model, corpus, tokenizer, num_tokens=CORPUS_TOKENS), gaps.neighbours)
    except NotMeasurableError as error:
        return [], str(error)
    found = (-counted.pmi, counted.branching_entropy, counted.entropy_after, counted.entropy_before)
    return list(map(Score, CORPUS_SCORES, found)), ""


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
    baselines = [Score.fitted(LOOKUP, lookup.base), Score.fitted(BASE, found.base)]
    with_increments = [
        Score.fitted(f"{BASE} + increment", found.more[number], scored_at=names[attribute], layer=layers[index])
        for number, (attribute, index) in enumerate(places)
    ]
    return baselines, with_increments, found

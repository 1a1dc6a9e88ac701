"""Scores that may tell boundaries, one number per gap, and their rows in the table of `boundaries`."""

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
from howfar.measures.statistics import (
    Additions,
    CrossFitted,
    Studentised,
    groups_of,
    nested_scores,
    or_none,
    roc_auc,
)
from howfar.measures.tables import Row, places_of, table
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]

CORPUS_TOKENS = 64_000_000
"""The most tokens of the training corpus that are counted."""

CORPUS_SCORES = ("-PMI", "branching entropy", "entropy after", "entropy before")
INCREMENT = "increment"
AUC, WITHIN, GAIN = "auc", "auc within", "auc gain"
PLACES = ("first_token", "whole_unit", "token_before")
LOOKUP = "lookup"
BASE = "lookup + entropy + surprisal"
"""The baseline without increments: how often the character (or token) before the gap and the first byte after it are
split by a boundary in other documents, and the model's predictions."""
WITH_INCREMENT = f"{BASE} + increment"


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
            yield Score(INCREMENT, values[index], name, **place)


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
    yield Score(name, np.concatenate(found)[starts[gaps.texts] + gaps.characters].astype(np.float64))


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
        Score.fitted(WITH_INCREMENT, found.more[number], scored_at=names[attribute], layer=layers[index])
        for number, (attribute, index) in enumerate(places)
    ]
    return baselines, with_increments, found


def gaps_compared(gaps: Gaps) -> dict[str, list[NDArray[np.int64]]]:
    """By quantity, the strata within which gaps are compared.

    Only gaps of the same source are: where languages are mixed, a step that differs between them, but not between gaps
    of one language, would mark the boundaries of the language that has more of them.
    """
    return {AUC: [gaps.sources], WITHIN: [gaps.sources, gaps.previous]}


def auc_rows(scores: Sequence[Score], gaps: Gaps, **options: Any) -> list[Row]:
    """Rows of scores with the same folds: their AUC, and their AUC among gaps after the same character or token."""
    values = np.stack([score.values for score in scores])
    instability = np.array([score.instability for score in scores])
    folds = [] if scores[0].folds is None else [scores[0].folds]
    rows: list[Row] = []
    for quantity, strata in gaps_compared(gaps).items():
        try:
            estimates = roc_auc(values, gaps.is_boundary, gaps.documents, strata=[*folds, *strata], **options)
        except NotMeasurableError as error:
            if quantity == AUC:
                raise
            rows += [score.row(quantity) | {"note": f"not measurable: {error}"} for score in scores]
            continue
        estimates = estimates.widened(instability * np.square(estimates.error))
        compared = _compared(gaps, strata)
        rows += estimate_rows(quantity, scores, estimates, gaps, compared, null=0.5)
    return rows


def gain_rows(scores: Sequence[Score], additions: Additions, gaps: Gaps, **options: Any) -> list[Row]:
    """Rows of how much increments raise the AUC of a model, compared with permuted increments."""
    strata = gaps_compared(gaps)[AUC]
    gains = additions.gains(gaps.is_boundary, gaps.documents, strata=strata, **options)
    return estimate_rows(GAIN, scores, gains, gaps, _compared(gaps, strata), null=0.0)


def estimate_rows(
    quantity: str,
    scores: Sequence[Score],
    estimates: Studentised,
    gaps: Gaps,
    compared: NDArray[np.bool_],
    *,
    null: float,
) -> list[Row]:
    """A row for each score; increments also get simultaneous intervals over all layers, heads and places."""
    low, high = estimates.low, estimates.high
    rows = [
        score.row(quantity)
        | {"value": float(estimates.value[index])}
        | {"low": or_none(low[index]), "high": or_none(high[index])}
        | {"num_gaps": int(compared.sum()), "num_boundaries": int((compared & gaps.is_boundary).sum())}
        | {"n": estimates.num_documents}
        for index, score in enumerate(scores)
    ]
    family = [index for index, score in enumerate(scores) if score.scored_at is not None]
    if family:
        together = estimates[np.array(family)].simultaneous(null)
        for place, index in enumerate(family):
            rows[index] |= {
                "low_together": or_none(together.low[place]),
                "high_together": or_none(together.high[place]),
                "p_together": or_none(together.p_value[place]),
            }
    return rows


def table_of(rows: Sequence[Row], target: str, gaps: Gaps) -> pl.DataFrame:
    """The table of `boundaries`."""
    unseen = f"{gaps.num_unseen} gaps inside tokens are left out" if gaps.num_unseen else None
    return table(
        (row | {"target": target, "note": "; ".join(filter(None, (row.get("note"), unseen))) or None} for row in rows),
        *((str, "target quantity score scored_at"), (int, "layer head")),
        (float, "value low high low_together high_together p_together"),
        *((float, "random_low random_high p_random p_random_together"), (int, "num_gaps num_boundaries n")),
    )


def _compared(gaps: Gaps, strata: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Gaps that agree in all strata with a gap of the other class; bool `[gap]`."""
    which = groups_of(strata, len(gaps))
    num, positive = np.bincount(which), np.bincount(which, gaps.is_boundary)
    return np.asarray(((positive > 0) & (positive < num))[which])

"""Do increments mark where words begin? ROC-AUC against known boundaries, beside what else could tell.

A distance between units would be useful if it told where one unit ends. But a model's own uncertainty tells much of
that too, and so do counts of neighbouring characters. So increments stand here beside entropy, surprisal, corpus
statistics and a linear probe, on the same gaps, and what they add to entropy and surprisal is measured on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures.boundaries.gaps import Gaps, find_gaps
from howfar.measures.boundaries.probes import probe_scores
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.documents import sample_blocks
from howfar.measures.ngrams import gap_statistics
from howfar.measures.statistics import Estimate, nested_scores, roc_auc
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.progress import Progress
from howfar.text.segmentation import Segmentation
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CORPUS_TOKENS = 64_000_000
"""How much of the training corpus is counted."""

MAX_GAPS = 40_000

SCORED_AT = {"first_token": "first token", "whole_unit": "whole unit", "token_before": "token before"}
SCORED_AT_BYTES = {"first_token": "lead byte", "whole_unit": "whole character", "token_before": "byte before"}


@dataclass(frozen=True)
class _Score:
    """A score of the gaps, and what its row says; `layer` is None where a score is of the whole model or corpus."""

    score: str
    values: NDArray[np.float64]
    scored_at: str | None = None
    layer: int | None = None
    head: int | None = None


def boundaries(
    model: PreTrainedModel,
    segmentations: Iterable[Segmentation],
    *,
    target: str = "chinese-words",
    corpus: Corpus | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    fitted: bool = True,
    max_gaps: int = MAX_GAPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure how well increments tell boundaries from other gaps, and how well other scores do.

    Args:
        model: A model with increments.
        segmentations: Documents with their boundaries, such as `read_spaced` reads.
        target: A name from `TARGETS`: which gaps count.
        corpus: The model's training corpus, for PMI and branching entropy; without it they are not measured.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        fitted: Whether to fit models of the gaps too: what increments add to entropy and surprisal, and linear probes
            of the residual stream, for which the text is read a second time.
        max_gaps: Take documents until there are so many gaps.
        seed: Of the resampling.
        progress: Called with how many gaps are found and `max_gaps`.

    Returns:
        One row for each score. `quantity` is `auc`, the probability that a boundary scores higher than another gap, or
        `auc gain`, what a layer's increments add to a model that knows entropy and surprisal. `score` names the score,
        `scored_at` the token whose increment it is, `layer` (null for shared increments and whatever is of no layer)
        and `head` the increments. `low` and `high` bound the 95% interval, documents resampled. `low_any_layer` and
        `high_any_layer` hold for all layers at once and `p_any_layer` is corrected likewise, so that the best layer may
        be picked. AUCs are of ranks, so the scale of a layer's increments is of no consequence. `note` says why where a
        row has no number.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: The documents have no such gaps or boundaries, or are too few.
        ConfigError: There is no such target.
    """
    config = increments_of(model).config
    if target not in TARGETS:
        raise ConfigError(f"there is no target {target!r}; choose from {', '.join(TARGETS)}")
    tokenizer = tokenizer or tokenizer_of(model)
    gaps = find_gaps(model, segmentations, TARGETS[target], tokenizer=tokenizer, max_gaps=max_gaps, progress=progress)
    names = SCORED_AT_BYTES if is_byte_tokenizer(tokenizer) else SCORED_AT
    layers: list[int | None] = [None] if config.scope == "shared" else list(gaps.traces[0].layers)
    plain = [*_increments(gaps, names, layers), *_predictions(gaps)]
    missing: list[str] = []
    if corpus is None:
        missing = ["-PMI", "branching entropy", "entropy after", "entropy before"]
    else:
        plain += _corpus_scores(corpus, gaps, tokenizer)
    nested = _nested(gaps, names, layers) if fitted else []
    options: dict[str, Any] = {"seed": seed}
    aucs = roc_auc(np.stack([s.values for s in (*plain, *nested)]), gaps.is_boundary, gaps.documents, **options)
    rows = _rows(plain, aucs[: len(plain)], gaps)
    if fitted:
        rows += _nested_rows(nested, aucs[len(plain) :], gaps)
        rows += _probe_rows(model, gaps, tokenizer, options)
    rows += [{"quantity": "auc", "score": name, "note": "not measurable: no training corpus"} for name in missing]
    return _table(rows, target, gaps)


def _increments(gaps: Gaps, names: dict[str, str], layers: list[int | None]) -> Iterator[_Score]:
    for attribute, name in names.items():
        values = getattr(gaps, attribute)
        for index, layer in enumerate(layers):
            for head in range(values.shape[1]):
                yield _Score("increment", values[index, head], name, layer, head)


def _predictions(gaps: Gaps) -> Iterator[_Score]:
    yield _Score("entropy", gaps.entropy)
    yield _Score("surprisal", gaps.surprisal)
    yield _Score("surprisal of the whole unit", gaps.unit_surprisal)


def _corpus_scores(corpus: Corpus, gaps: Gaps, tokenizer: PreTrainedTokenizerBase) -> Iterator[_Score]:
    counted = gap_statistics(sample_blocks(corpus, tokenizer, num_tokens=CORPUS_TOKENS), gaps.neighbours)
    yield _Score("-PMI", -counted.pmi)
    yield _Score("branching entropy", counted.branching_entropy)
    yield _Score("entropy after", counted.entropy_after)
    yield _Score("entropy before", counted.entropy_before)


def _nested(gaps: Gaps, names: dict[str, str], layers: list[int | None]) -> list[_Score]:
    """First the model of the predictions alone, then those that know a layer's increments (of all heads) as well."""
    predictions = np.stack([score.values for score in _predictions(gaps)], axis=1)
    places = [(attribute, index) for attribute in names for index in range(len(layers))]
    additions = [getattr(gaps, attribute)[index].T for attribute, index in places]
    alone, *more = nested_scores(predictions, additions, gaps.is_boundary, gaps.documents)
    return [_Score("entropy + surprisal", alone)] + [
        _Score("entropy + surprisal + increment", values, names[attribute], layers[index])
        for (attribute, index), values in zip(places, more, strict=True)
    ]


def _rows(scores: list[_Score], aucs: Estimate, gaps: Gaps) -> list[dict[str, Any]]:
    rows = [_row("auc", score, aucs[index], gaps) for index, score in enumerate(scores)]
    for name in dict.fromkeys(score.scored_at for score in scores if score.score == "increment"):
        family = [index for index, score in enumerate(scores) if score.scored_at == name]
        _add_simultaneous([rows[index] for index in family], aucs[np.array(family)], null=0.5)
    return rows


def _nested_rows(scores: list[_Score], aucs: Estimate, gaps: Gaps) -> list[dict[str, Any]]:
    gains = aucs[1:] - aucs[:1]
    rows = [_row("auc", score, aucs[index], gaps) for index, score in enumerate(scores)]
    gain_rows = [_row("auc gain", score, gains[index], gaps) for index, score in enumerate(scores[1:])]
    for name in dict.fromkeys(score.scored_at for score in scores[1:]):
        family = [index for index, score in enumerate(scores[1:]) if score.scored_at == name]
        _add_simultaneous([gain_rows[index] for index in family], gains[np.array(family)], null=0.0)
    return rows + gain_rows


def _probe_rows(
    model: PreTrainedModel, gaps: Gaps, tokenizer: PreTrainedTokenizerBase, options: dict[str, Any]
) -> list[dict[str, Any]]:
    values, probed = probe_scores(model, gaps, tokenizer)
    aucs = roc_auc(values, gaps.is_boundary[probed], gaps.documents[probed], **options)
    name = "linear probe of the residual stream"
    scores = [
        _Score(name, of_layer, layer=layer) for of_layer, layer in zip(values, gaps.traces[0].layers, strict=True)
    ]
    rows = [_row("auc", score, aucs[index], gaps) for index, score in enumerate(scores)]
    counts = {"num_gaps": int(probed.sum()), "num_boundaries": int(gaps.is_boundary[probed].sum())}
    return [row | counts | {"num_documents": aucs.num_documents} for row in rows]


def _row(quantity: str, score: _Score, estimate: Estimate, gaps: Gaps) -> dict[str, Any]:
    return {
        "quantity": quantity,
        "score": score.score,
        "scored_at": score.scored_at,
        "layer": score.layer,
        "head": score.head,
        "value": float(estimate.value),
        "low": float(estimate.low),
        "high": float(estimate.high),
        "num_gaps": len(gaps),
        "num_boundaries": int(gaps.is_boundary.sum()),
        "num_documents": estimate.num_documents,
    }


def _add_simultaneous(rows: list[dict[str, Any]], estimates: Estimate, null: float) -> None:
    together = estimates.simultaneous(null)
    for row, low, high, p_value in zip(rows, together.low, together.high, together.p_value, strict=True):
        row |= {"low_any_layer": float(low), "high_any_layer": float(high), "p_any_layer": float(p_value)}


def _table(rows: list[dict[str, Any]], target: str, gaps: Gaps) -> pl.DataFrame:
    import polars as pl

    unseen = f"{gaps.num_unseen} gaps inside tokens left out" if gaps.num_unseen else None
    schema = {
        "target": pl.String,
        "quantity": pl.String,
        "score": pl.String,
        "scored_at": pl.String,
        "layer": pl.Int64,
        "head": pl.Int64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "low_any_layer": pl.Float64,
        "high_any_layer": pl.Float64,
        "p_any_layer": pl.Float64,
        "num_gaps": pl.Int64,
        "num_boundaries": pl.Int64,
        "num_documents": pl.Int64,
        "note": pl.String,
    }
    return pl.DataFrame([{"target": target, "note": unseen} | row for row in rows], schema=schema)

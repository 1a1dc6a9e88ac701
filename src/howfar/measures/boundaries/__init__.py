"""Do increments mark where words begin? ROC-AUC against known boundaries, compared with other scores.

Increments would be useful if they told where a unit ends. But the character before the gap, the model's uncertainty and
counts of neighbouring characters may tell this too. So all of these are scored on the same gaps; increments are also
compared among gaps after the same character; and a separate quantity is how much they add to a model that knows the
characters and the predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError
from howfar.measures.boundaries.gaps import find_gaps
from howfar.measures.boundaries.probes import PROBES, probe_rows
from howfar.measures.boundaries.random_networks import NUM_NETWORKS, compare_with_random
from howfar.measures.boundaries.scores import (
    AUC,
    BASE,
    CORPUS_SCORES,
    GAIN,
    LOOKUP,
    WITH_INCREMENT,
    WITHIN,
    auc_rows,
    baseline_scores,
    corpus_scores,
    gain_rows,
    increment_scores,
    nested,
    prediction_scores,
    scored_at,
    table_of,
)
from howfar.measures.boundaries.targets import TARGETS, segmented, target_named
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.inputs import Inputs
from howfar.measures.layers import check_accumulates, layer_names
from howfar.measures.statistics import ProbeKind
from howfar.measures.tables import Row, rows_or_notes
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.progress import Progress
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_GAPS = 40_000


def boundaries(
    model: PreTrainedModel,
    segmentations: Iterable[Segmentation],
    *,
    target: str = "chinese-words",
    corpus: Corpus | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    fitted: bool = True,
    random_networks: int = NUM_NETWORKS,
    probes: Sequence[ProbeKind] = ("linear",),
    max_gaps: int = MAX_GAPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure how well increments, and other scores, tell boundaries from other gaps.

    Args:
        segmentations: Documents with their boundaries, for example from `read_spaced`.
        target: A name from `TARGETS`: which gaps count.
        corpus: The model's training corpus, for PMI and branching entropy; without it they are not measured.
        fitted: Whether to fit models of the gaps too: the gain from increments over a baseline, and probes of the
            residual stream, for which the text is read a second time. If memory does not suffice for all gaps, a part
            of them is probed (`num_gaps`), spread evenly over the documents.
        random_networks: With how many networks of random weights each layer's own is compared; 0 for no comparison.
        probes: Kinds of probe: `"linear"`, and `"mlp"`, which has one hidden layer as wide as that of the increments'
            networks and takes minutes.
        max_gaps: Documents are read until there are this many gaps.

    Returns:
        One row for each score and `quantity`. `auc` is the probability that a boundary scores higher than another gap
        of the same source of the corpus; between languages both increments and boundaries differ for other reasons.
        `auc within` is the same among gaps after the same character (the same token, if tokens are not bytes), which
        separates association from identity. `auc gain` is how much increments raise the AUC of a model that knows the
        character before and the first byte after the gap, entropy and surprisal, compared with increments that are
        permuted among gaps after the same character. Fitted models are cross-fitted over documents, compared within
        folds, and their intervals include the variance of fitting. `score` is the name of the score, `scored_at` the
        token whose increment it is; `layer` is null for shared increments and for scores without a layer. `low` and
        `high` bound the 95% interval (bootstrap-t over `n` documents; null if too few contribute). `low_together`,
        `high_together` and `p_together` are simultaneous over all layers, heads and places, so that the best may be
        picked. `random_low` and `random_high` bound the AUCs of 95% of networks of the same shape with random weights,
        and `p_random` is the share of these that mark boundaries as well, `p_random_together` over all layers, heads
        and places. Only if it is small did training teach the increments what the AUC shows. AUCs use ranks, so they do
        not depend on the scale of a layer's increments. `note` says why a number is missing.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: The documents have no such gaps or boundaries, there are too few documents, or increments
            are not summed.
        ConfigError: The target is unknown.
    """
    check_accumulates(increments_of(model))
    layers, sought = layer_names(increments_of(model)), target_named(target)
    tokenizer = tokenizer or tokenizer_of(model)
    gaps = find_gaps(model, segmentations, sought, tokenizer=tokenizer, max_gaps=max_gaps, progress=progress)
    names = scored_at(tokenizer)
    scores = [*increment_scores(gaps, names, layers), *prediction_scores(gaps), *baseline_scores(gaps, sought)]
    counted, uncounted = corpus_scores(corpus, gaps, model, tokenizer)
    rows = auc_rows([*scores, *counted], gaps, seed=seed)
    compare_with_random(rows, model, gaps, tokenizer, names, layers, num_networks=random_networks, seed=seed)
    if fitted:

        def nested_rows() -> list[Row]:
            baselines, with_increments, additions = nested(gaps, names, layers, seed)
            found = auc_rows([*baselines, *with_increments], gaps, seed=seed)
            return found + gain_rows(with_increments, additions, gaps, seed=seed)

        missing = ((AUC, LOOKUP), (AUC, BASE), (GAIN, WITH_INCREMENT))
        rows += rows_or_notes(nested_rows, *({"quantity": quantity, "score": score} for quantity, score in missing))
        for kind in probes:
            probed = partial(probe_rows, model, gaps, tokenizer, kind, seed=seed)
            rows += rows_or_notes(probed, {"quantity": AUC, "score": PROBES[kind]})
    if uncounted:
        note = f"not measurable: {uncounted}"
        rows += [{"quantity": AUC, "score": name, "note": note} for name in CORPUS_SCORES]
    rows.sort(key=lambda row: row["score"] == WITH_INCREMENT and row["quantity"] != GAIN)  # last what the gain sums up
    return table_of(rows, target, gaps)


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Gold boundaries if they are given, else those that the target's rule finds in the texts."""
    target, gold = inputs.target or "chinese-words", inputs.gold
    if gold is not None and inputs.texts is not None and inputs.corpus is None:
        raise ConfigError("boundaries come either from --gold FILE or, by rule, from --text FILE; give one of the two")
    if gold is None:
        gold = segmented(
            inputs.some_texts, tokenizer_of(model), TARGETS[target], inputs.sample or MAX_GAPS, inputs.seed
        )
    options = inputs.options("target", "corpus", "probes", sample="max_gaps")
    return boundaries(model, gold, progress=progress, **options)


def _variants(inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
    """Chinese words by gold boundaries and by rule; English words and sentences by rule."""
    if inputs.gold is not None:
        yield "Chinese words, gold", replace(inputs, texts=inputs.corpus, target="chinese-words")
    if inputs.texts is not None:
        by_rule = replace(inputs, gold=None)
        yield "Chinese words, jieba", replace(by_rule, target="chinese-words")
        yield "words", replace(by_rule, target="words")
        yield "sentences", replace(by_rule, target="sentences")


MEASURE = Measure(
    name="boundaries",
    question="Do increments mark word boundaries, beyond what characters, entropy and surprisal tell?",
    run=_run,
    value="ROC-AUC (0.5: chance), or gain of an AUC",
    counts="documents",
    columns=("quantity", "score", "scored_at", "layer", "head", "value [low, high]", "p_random", "num_gaps", "n"),
    matrix=Matrix(rows=("quantity", "score", "scored_at")),
    limits={AUC: (0.0, 1.0), WITHIN: (0.0, 1.0), GAIN: (-1.0, 1.0)},
    needs=("gold|texts",),
    takes=("target", "probes"),
    variants=_variants,
    sample="gaps",
)

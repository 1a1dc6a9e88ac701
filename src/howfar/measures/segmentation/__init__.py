"""How well do increments cut a text into words, compared with other ways to cut it?

An AUC does not say how good a segmentation is: if six in ten gaps are word boundaries, a cut at every gap already has
an F1 of 0.75. So all contestants decide about the same gaps, with thresholds, layers and directions chosen on other
texts, and each is compared with cutting at every gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from howfar.corpus.corpus import Corpus
from howfar.measures.boundaries.gaps import find_gaps
from howfar.measures.boundaries.probes import most_gaps
from howfar.measures.boundaries.scores import corpus_scores, scored_at
from howfar.measures.boundaries.targets import target_named
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.inputs import Inputs
from howfar.measures.segmentation import contestants
from howfar.measures.segmentation.choosing import Contestant, Folds, chosen_names, decide, fixed
from howfar.measures.segmentation.rows import UNITS, Entry, missing, rows_of, table_of
from howfar.measures.segmentation.states import dissimilarities, probes, read_states
from howfar.measures.segmentation.words import Words
from howfar.models.increments import increment_config
from howfar.models.loading import tokenizer_of
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_GAPS = 40_000
COUNTED = ("branching entropy", "-PMI")
KINDS = ("boundary", "word", *UNITS.values())
"""What can be found, or missed."""


def segmentation(
    model: PreTrainedModel,
    segmentations: Iterable[Segmentation],
    *,
    target: str = "chinese-words",
    corpus: Corpus | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    probed: bool = True,
    max_gaps: int = MAX_GAPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Segment texts into words by increments and by other segmenters, and compare with the gold segmentation.

    Args:
        segmentations: Texts with their boundaries, for example from `read_spaced`.
        target: A name from `TARGETS`: the gaps to decide about. Boundaries at other gaps are given to all contestants.
        corpus: The model's training corpus, for PMI and branching entropy. They are counted in the part that the model
            was trained on if its record says which, else in a sample; without a corpus they are left out.
        probed: Whether to read the texts a second time, for dissimilarity and probes of residual states.
        max_gaps: Texts are read until there are this many gaps, or as many as there is memory for residual states.

    Returns:
        One row for each contestant and `quantity`: precision, recall and F1 of boundaries and of whole words, and
        `boundary enrichment`: the share of gaps that is cut among the tenth before the most surprising tokens, divided
        by the share among all gaps. In each fifth of the texts, a contestant uses the threshold, layer and direction
        with the best F1 in the other four fifths (F1 of boundaries for rows of boundaries, of words for rows of words);
        `chosen` names them. Probes are fitted to three fifths; their threshold and layer are chosen on the fourth.
        Random cuts have the rate of boundaries in the other texts; their numbers are expected values. `low` and `high`
        bound the 95% interval (bootstrap-t over `n` texts). For an F1, `gain` is the difference from a cut at every
        gap; its interval and `gain_p` are simultaneous for all contestants. `rate` is the share of gaps that is cut.
        `note` says where a contestant does not beat cutting at every gap, and why a number is missing.

    Raises:
        NotMeasurableError: The texts have no such gaps or boundaries, or there are too few texts.
        ConfigError: The target is unknown.
    """
    sought = target_named(target)
    tokenizer = tokenizer or tokenizer_of(model)
    names = scored_at(tokenizer)
    if probed:
        max_gaps = min(max_gaps, most_gaps(model, len(Reader(model, tokenizer).layers)))
    gaps = find_gaps(model, segmentations, sought, tokenizer=tokenizer, max_gaps=max_gaps, progress=progress)
    words = Words.of(gaps)
    folds = Folds.of(words)
    compared: list[Contestant] = []
    config = increment_config(model)
    if config and config.accumulate:
        compared += contestants.learned(gaps, folds, names, config.scope == "per_layer")
    compared += contestants.predicted(gaps, sought, folds)
    if probed:
        states, dissimilarity = read_states(model, gaps, tokenizer)
        compared += dissimilarities(dissimilarity, gaps, folds, names)
        num_neurons = (config and config.hidden_size) or states.shape[-1] // 4
        compared += probes(states, gaps, words, folds, num_neurons=num_neurons, seed=seed)
    left_out = {}
    if config is None:
        left_out[contestants.INCREMENT] = "the model has no increments"
    elif not config.accumulate:
        left_out[contestants.INCREMENT] = "the model's increments are positions themselves (accumulate=False)"
    counted, uncounted = corpus_scores(corpus, gaps, model, tokenizer)
    values = {score.score: score.values for score in counted}
    compared += [fixed(name, values[name], folds) for name in COUNTED if name in values]
    if uncounted:
        left_out |= dict.fromkeys(COUNTED, "no corpus was given" if corpus is None else uncounted)
    entries = [Entry.same(contestants.EVERY, np.ones(len(gaps)))]
    entries.append(Entry.same(contestants.RANDOM, contestants.matched_rate(gaps, folds)))
    for contestant in compared:
        cuts, chosen = zip(*(decide(contestant, words, folds, kind) for kind in ("boundary", "word")), strict=True)
        chosen_by_kind = [chosen_names(contestant, picked) for picked in chosen]
        entries.append(Entry(contestant.score, contestant.scored_at, cuts, chosen_by_kind))
    if target == "chinese-words":
        if reason := contestants.why_no_jieba():
            left_out[contestants.JIEBA] = reason
        else:
            entries.append(Entry.same(contestants.JIEBA, contestants.jieba_boundaries(gaps)))
    return table_of([*rows_of(entries, gaps, words, seed=seed), *missing(left_out)], target, gaps)


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    assert inputs.gold is not None, "a measure's needs are checked before it is run"
    options = inputs.options("target", "corpus", sample="max_gaps")
    return segmentation(model, inputs.gold, progress=progress, **options)


MEASURE = Measure(
    name="segmentation",
    question="How well do increments cut a text into words, compared with other ways to cut it?",
    run=_run,
    value="precision, recall, F1, or enrichment (1: as many cuts as elsewhere)",
    counts="texts",
    columns=(
        "score",
        "scored_at",
        "chosen",
        "quantity",
        "value [low, high]",
        "gain [gain_low, gain_high]",
        "rate",
        "n",
    ),
    matrix=Matrix(rows=("score", "scored_at"), columns=("quantity",)),
    limits={f"{kind} {share}": (0.0, 1.0) for kind in KINDS for share in ("F1", "precision", "recall")},
    needs=("gold",),
    takes=("corpus", "target"),
    sample="gaps",
    of_plain=True,
)

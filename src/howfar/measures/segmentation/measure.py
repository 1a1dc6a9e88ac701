"""How well do increments cut a text into its words, beside everything else that could?

An AUC does not say how good a segmentation is: with six words in ten gaps, a cut at every gap already has an F1 of
0.75. So all contestants decide about the same gaps, with thresholds, layers and directions chosen on other texts, and
each is compared with cutting everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NoIncrementsError
from howfar.measures.boundaries.gaps import find_gaps
from howfar.measures.boundaries.scores import SCORED_AT, SCORED_AT_BYTES
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.inputs import Inputs
from howfar.measures.segmentation import contestants
from howfar.measures.segmentation.choosing import Contestant, Folds, chosen_names, decide
from howfar.measures.segmentation.rows import Entry, missing, rows_of, table_of
from howfar.measures.segmentation.states import dissimilarities, most_gaps, probes, read_states
from howfar.measures.segmentation.words import Words
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.text.segmentation import Segmentation
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_GAPS = 40_000


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
    """Cut texts into words by increments and by everything else, and compare with the gold segmentation.

    Args:
        model: With increments or without.
        segmentations: Texts with their boundaries, such as `read_spaced` reads.
        target: A name from `TARGETS`: which gaps are decided about. Boundaries at others are given to everyone.
        corpus: The model's training corpus, for PMI and branching entropy: of what the model has read of it, where its
            record says, else of a sample. Without it they are left out.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        probed: Whether to read the texts a second time for dissimilarity and probes of residual states.
        max_gaps: Take texts until there are so many gaps; fewer where the states of so many would not fit into memory.
        seed: Of the probes and of the resampling.
        progress: Called with how many gaps are found and how many are wanted.

    Returns:
        One row for each contestant and `quantity`: precision, recall and F1 of boundaries and of whole words, and
        `boundary enrichment`: which share of the tenth of the gaps with the most surprising token behind them is cut,
        over the share of all gaps that is. A contestant is cut by its threshold, layer and direction with the best F1
        in the other four fifths of the texts (of boundaries for those rows, of words for the others); `chosen` says
        what that was. Probes are fitted to three fifths, and their threshold and layer are chosen in the fourth. Random
        cuts are expectations, at the rate of boundaries in the other texts. `low` and `high` bound the 95% interval
        (bootstrap-t over `n` texts). For an F1, `gain` is the difference from a cut at every gap; its interval and
        `gain_p` hold for all contestants together. `rate` is the share of the gaps that is cut. `note` says where a
        contestant does not beat every gap, and why where there is no number.

    Raises:
        NotMeasurableError: The texts have no such gaps or boundaries, or are too few.
        ConfigError: There is no such target.
    """
    if target not in TARGETS:
        raise ConfigError(f"there is no target {target!r}; choose from {', '.join(TARGETS)}")
    tokenizer = tokenizer or tokenizer_of(model)
    of_bytes = is_byte_tokenizer(tokenizer)
    names = SCORED_AT_BYTES if of_bytes else SCORED_AT
    if probed:
        max_gaps = min(max_gaps, most_gaps(model, len(Reader(model, tokenizer).layers)))
    read: list[Segmentation] = []
    gaps = find_gaps(
        model,
        _with_candidates(segmentations, target, read),
        TARGETS[target],
        tokenizer=tokenizer,
        max_gaps=max_gaps,
        progress=progress,
    )
    words = Words.of(gaps, read[: len(gaps.traces)])
    folds = Folds.of(words)
    everyone: list[Contestant] = []
    try:
        config = increments_of(model).config
        everyone += contestants.learned(gaps, folds, names, config.scope == "per_layer")
    except NoIncrementsError:
        config = None
    everyone += contestants.predicted(gaps, TARGETS[target], folds)
    if probed:
        states, unlike = read_states(model, gaps, tokenizer)
        everyone += dissimilarities(unlike, gaps, folds, names)
        num_neurons = (config and config.hidden_size) or states.shape[-1] // 4
        everyone += probes(states, gaps, words, folds, num_neurons=num_neurons, seed=seed)
    if corpus is not None:
        everyone += contestants.counted(corpus, gaps, model, tokenizer, folds)
    entries = [Entry.everywhere(contestants.EVERY, len(gaps))]
    entries.append(Entry.same(contestants.RANDOM, contestants.matched_rate(gaps, folds)))
    for contestant in everyone:
        cuts, chosen = zip(*(decide(contestant, words, folds, kind) for kind in ("boundary", "word")), strict=True)
        by_kind = [chosen_names(contestant, picked) for picked in chosen]
        entries.append(Entry(contestant.score, contestant.scored_at, cuts, by_kind))
    lacking = {} if config is not None else {contestants.INCREMENT: "the model has no increments"}
    if corpus is None:
        lacking |= dict.fromkeys(contestants.COUNTED, "no corpus was given")
    if target == "chinese-words":
        if reason := contestants.what_jieba_lacks():
            lacking[contestants.JIEBA] = reason
        else:
            entries.append(Entry.same(contestants.JIEBA, contestants.jieba_boundaries(gaps)))
    return table_of([*rows_of(entries, gaps, words, seed=seed), *missing(lacking)], target, gaps)


def _with_candidates(
    segmentations: Iterable[Segmentation], target: str, read: list[Segmentation]
) -> Iterator[Segmentation]:
    """Texts that have gaps to decide about; each is kept in `read` as it is taken."""
    for document in segmentations:
        if TARGETS[target].candidates(document.text).any():
            read.append(document)
            yield document


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    assert inputs.gold is not None, "a measure's needs are checked before it is run"
    return segmentation(
        model,
        inputs.gold,
        target=inputs.target or "chinese-words",
        corpus=inputs.corpus,
        seed=inputs.seed,
        progress=progress,
        **inputs.sized("max_gaps"),
    )


MEASURE = Measure(
    name="segmentation",
    question="How well do increments cut a text into its words, beside everything else that could?",
    run=_run,
    value="precision, recall, F1, or enrichment (1: no more than elsewhere)",
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
    needs=("gold",),
    takes=("corpus", "target"),
    sample="gaps",
    of_plain=True,
)

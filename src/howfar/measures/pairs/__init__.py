"""Multi-word entities: does a model place the parts of *New York* closer together, because they are one entity?

Four controls, each with the same increments in another context:

- `same first`, the main test: another word after the same first word (*New laws*), in passages of the corpus that are
  matched on the place in the sentence and on the entropy at the space. An effect of the first word is on both sides.
- `reversed`: the parts in the other order (*York New*), as published, with the share of entities whose increment is
  smaller. Its limit: the increment at the space has only seen the first part, so this compares *New* with *York*. First
  words with small increments in any company look like entities.
- `recombined`: the second part after another entity's first part (*Los York*), so the scored token is the same.
- `matched`: bigrams that are not entities, but as frequent and as predictable from their first part (*According to*),
  in passages of the corpus. This rules out that a difference is only the expectation of a continuation. But the first
  words differ, and those of the controls begin a sentence more often.

In English the increment of the space between the parts is scored, as published. Chinese has no space; there the first
byte of the second part is scored, and its first character (the sum over its bytes). In reversed Chinese other bytes are
scored, which alone makes a difference: trust the recombined and the matched control, whose bytes are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures import statistics
from howfar.measures.choices import Language
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import NUM_BLOCKS, sample_blocks
from howfar.measures.inputs import Inputs
from howfar.measures.layers import check_accumulates, layer_names
from howfar.measures.pairs.lists import Pair, bundled_pairs, families
from howfar.measures.pairs.matching import Matching, match_chinese, match_english
from howfar.measures.pairs.same_first import same_first as scores_after_same_first
from howfar.measures.pairs.scores import SITES, Scores, scores_in_carriers, scores_in_passages
from howfar.measures.tables import Row, places_of, rows_or_notes, table
from howfar.positions import increments_of
from howfar.progress import Progress

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAME_FIRST = "same first"
SITES_OF = {
    (SAME_FIRST, True): ("space", "second word", "space after"),
    ("reversed", True): ("space",),
    ("reversed", False): ("lead byte", "character"),
    ("recombined", True): ("character",),
    ("recombined", False): ("lead byte", "character"),
    ("matched", True): ("space",),
    ("matched", False): ("lead byte",),
}
"""The sites that are scored, by control and whether a space separates the parts: those where both sides have the same
token."""

RESOLUTION = 1e-6
"""Differences below this share of the mean increment are rounding of float32 and count as zero."""
MAX_TOKENS = 400_000_000  # tokens of the training corpus in which bigrams are counted
CARRIER_PARTS, MATCHING_PARTS, PASSAGE_PARTS, SAME_FIRST_PARTS = 3, 12, 10, 10
"""Parts of the progress bar: about proportional to the time with a corpus of 100 MB."""


def pairs(
    model: PreTrainedModel,
    entities: Sequence[Pair] | None = None,
    *,
    language: str = "en",
    corpus: Corpus | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Compare the increments inside multi-word entities with four controls.

    Args:
        entities: From `read_pairs`, all of one language; the bundled list where None.
        language: Language of the bundled list, `"en"` or `"zh"`.
        corpus: The model's training corpus; without it, the controls `same first` and `matched` are not measured.

    Returns:
        One row per `control`, `site`, `type` of entity (`all` first), `layer` (null if shared) and `head`. `value` is
        `entity_mean` minus `control_mean`, in positions, over `n` pairs. Entities that share a word, or whose matched
        bigrams begin with the same word, are one case of its 95% interval and of the test. `share_smaller` is the share
        of entities with the smaller increment, `effect_size` the rank-biserial correlation (-1 to 1, negative if
        entities are closer together). `p_value` is of the two-sided Wilcoxon test; `p_holm` is corrected over all
        sites, layers and heads of the same control and type. `largest_imbalance` of the matched control is the largest
        standardised mean difference. For `same first`, `num_passages` is the number of matched passages, and
        `entropy_difference` their mean difference of the entropy of the second word's prediction, in nats. `note` says
        why numbers, or all of a control's, are missing.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: The entities are of several languages, or increments are not summed.
    """
    check_accumulates(increments_of(model))
    entities = list(entities) if entities is not None else bundled_pairs(language)
    if len({pair.separator for pair in entities}) != 1:
        raise NotMeasurableError("some of the pairs are Chinese and some are not; measure them separately")
    total = CARRIER_PARTS if corpus is None else SAME_FIRST_PARTS + CARRIER_PARTS + MATCHING_PARTS + 2 * PASSAGE_PARTS

    def done(parts: int) -> None:
        if progress is not None:
            progress(parts, total)

    real = scores_in_carriers(model, tokenizer, entities)
    done(1)
    reverse = [Pair(pair.second, pair.first, pair.type) for pair in entities]
    rows = _compare(model, "reversed", entities, real, scores_in_carriers(model, tokenizer, reverse), seed)
    done(2)

    def recombined() -> list[Row]:
        mixed = scores_in_carriers(model, tokenizer, _recombined(entities))
        return _compare(model, "recombined", entities, real, mixed, seed)

    rows += rows_or_notes(recombined, {"control": "recombined"})
    done(CARRIER_PARTS)
    if corpus is None:
        note = "not measurable: no training corpus was given to find passages in"
        rows += [{"control": control, "note": note} for control in (SAME_FIRST, "matched")]
    else:

        def matched() -> list[Row]:
            matching = match_pairs(
                entities, corpus, tokenizer, lambda read, blocks: done(CARRIER_PARTS + MATCHING_PARTS * read // blocks)
            )
            ours = scores_in_passages(model, tokenizer, matching.entities.pairs, corpus)
            done(total - SAME_FIRST_PARTS - PASSAGE_PARTS)
            theirs = scores_in_passages(model, tokenizer, matching.controls.pairs, corpus)
            found = _compare(model, "matched", matching.entities.pairs, ours, theirs, seed, matching.controls.pairs)
            return [row | {"largest_imbalance": matching.largest_imbalance} for row in found]

        def of_same_first() -> list[Row]:
            if not entities[0].separator:
                return [{"control": SAME_FIRST, "note": "not measurable: there is no space between the parts"}]
            both = scores_after_same_first(model, tokenizer, entities, corpus)
            of_all = {"num_passages": both.num_passages, "entropy_difference": both.entropy_difference}
            found = _compare(model, SAME_FIRST, entities, both.entities, both.others, seed)
            return [row | of_all for row in found]

        rows += rows_or_notes(matched, {"control": "matched"})
        done(total - SAME_FIRST_PARTS)
        rows += rows_or_notes(of_same_first, {"control": SAME_FIRST})
        done(total)
    return table(
        rows,
        *((str, "control site type"), (int, "layer head n num_passages")),
        (float, "entity_mean control_mean value low high share_smaller effect_size p_value p_holm"),
        (float, "largest_imbalance entropy_difference"),
    )


def match_pairs(
    entities: Sequence[Pair],
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase | None = None,
    progress: Progress | None = None,
) -> Matching:
    """Match entities with other bigrams by their counts in the training part of a corpus.

    Raises:
        NotMeasurableError: The corpus has no training part, or no bigrams like the entities.
    """
    matched, times = (match_english, 1) if entities[0].separator else (match_chinese, 2)
    number = count(1)

    def blocks() -> Iterator[str]:
        for block in sample_blocks(corpus, tokenizer, num_tokens=MAX_TOKENS):
            yield block
            if progress is not None:
                progress(next(number), times * NUM_BLOCKS)

    return matched(entities, blocks)


def _recombined(entities: Sequence[Pair]) -> list[Pair]:
    """Each second part after the first part of another entity, of the same type if possible."""
    known = {pair.text for pair in entities}
    mixed = []
    for place, pair in enumerate(entities):
        others = [*entities[place + 1 :], *entities[:place]]
        others.sort(key=lambda other: other.type != pair.type)  # stable: the same type first, else the next in the list
        candidates = (Pair(other.first, pair.second, pair.type) for other in others if other.first != pair.first)
        found = next((candidate for candidate in candidates if candidate.text not in known), None)
        if found is None:
            raise NotMeasurableError(f"{pair.text!r} cannot be recombined; give pairs with more than one first part")
        mixed.append(found)
    return mixed


def _compare(
    model: PreTrainedModel,
    control: str,
    entities: Sequence[Pair],
    ours: Scores,
    theirs: Scores,
    seed: int,
    controls: Sequence[Pair] = (),
) -> list[Row]:
    """Test each site, type, layer and head; `controls` are as for `families`."""
    layers = layer_names(increments_of(model))
    sites = SITES_OF[control, bool(entities[0].separator)]
    indices = [SITES.index(site) for site in sites]
    known = np.asarray(~np.isnan((ours + theirs)[:, indices]).any(axis=(2, 3)))
    types, of_family = np.array([pair.type for pair in entities]), families(entities, controls)
    rows = []
    for kind in ("all", *dict.fromkeys(types[known.any(axis=1)].tolist())):
        tests = []
        for site, index, is_known in zip(sites, indices, known.T, strict=True):
            chosen = is_known if kind == "all" else is_known & (types == kind)
            tests += [
                {"control": control, "site": site, "type": kind, **place}
                | _test(
                    ours[chosen, index, *cell],
                    theirs[chosen, index, *cell],
                    of_family[chosen],
                    seed,
                    of_token=place["layer"] in (None, 0),
                )
                for cell, place in places_of(layers, ours.shape[-1])
            ]
        corrected = statistics.holm([test.get("p_value", np.nan) for test in tests])
        rows += [
            test | {"p_holm": float(p)} if "p_value" in test else test for test, p in zip(tests, corrected, strict=True)
        ]
    return rows


def _test(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    of_family: NDArray[np.int64],
    seed: int,
    *,
    of_token: bool,
) -> Row:
    """The row of a layer and head; `of_token` says whether its increments depend on the token alone."""
    if (num := len(np.unique(of_family))) < statistics.MIN_DOCUMENTS:
        few = f"{len(ours)} pairs" if num == len(ours) else f"{len(ours)} pairs, {num} of which share no word,"
        return {"n": len(ours), "note": f"not measurable: {few} are too few for a test"}
    smallest = RESOLUTION * np.abs((ours, theirs)).mean()
    differences = np.where(np.abs(ours - theirs) < smallest, 0.0, ours - theirs)
    test = statistics.wilcoxon(differences, of_family, seed=seed)
    means: Row = {"n": len(ours), "entity_mean": float(ours.mean()), "control_mean": float(theirs.mean())}
    if not test.num_different:
        why = "the increment is the same for every pair" + ", because it depends on the token alone" * of_token
        return means | {"value": float(test.mean_difference.value), "note": f"not measurable: {why}"}
    means |= test.mean_difference.row() | {"share_smaller": float((differences < 0).mean())}
    return means | {"effect_size": test.effect_size, "p_value": test.p_value}


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Matched controls come from the corpus, if there is one."""
    if inputs.pairs is not None and inputs.language is not None:
        raise ConfigError("--language chooses a bundled list, and --pairs gives another; leave out one of the two")
    return pairs(model, inputs.pairs, progress=progress, **inputs.options("language", "corpus"))


def _variants(inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
    """Each bundled list, unless a list or a language was given."""
    if inputs.pairs is not None or inputs.language is not None:
        yield "", inputs
        return
    for language in get_args(Language):
        yield language, replace(inputs, language=language)


MEASURE = Measure(
    name="pairs",
    question="Are the two words of a name closer together than other words after the same first word?",
    run=_run,
    value="increment in entities minus increment in the control, positions",
    counts="pairs",
    columns=("control", "site", "type", "layer", "head", "value [low, high]", "effect_size", "p_holm", "n"),
    matrix=Matrix(rows=("control", "site", "type")),
    needs=(),
    takes=("corpus", "pairs", "language"),
    variants=_variants,
)

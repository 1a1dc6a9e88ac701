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
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.choices import Language
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import NUM_BLOCKS, sample_blocks
from howfar.measures.inputs import Inputs
from howfar.measures.layers import layer_names
from howfar.measures.notes import rows_or_notes
from howfar.measures.pairs.lists import Pair, bundled_pairs
from howfar.measures.pairs.matching import Matching, match_chinese, match_english
from howfar.measures.pairs.same_first import same_first
from howfar.measures.pairs.scores import SITES, Scores, scores_in_carriers, scores_in_passages
from howfar.positions import increments_of
from howfar.progress import Progress

if TYPE_CHECKING:
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

NUMBERS = (
    *("entity_mean", "control_mean", "value", "low", "high"),
    *("share_smaller", "effect_size", "p_value", "p_holm", "largest_imbalance", "entropy_difference"),
)
RESOLUTION = 1e-4
"""Differences below this, in positions, are rounding of float32 and count as zero."""
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
        model: A model with increments.
        entities: From `read_pairs`, all of one language; the bundled list where None.
        language: Language of the bundled list, `"en"` or `"zh"`.
        corpus: The model's training corpus; without it, the controls `same first` and `matched` are not measured.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        seed: Seed of the intervals.
        progress: Called with how many parts of the work are done and how many there are.

    Returns:
        One row per `control`, `site`, `type` of entity (`all` first), `layer` (null if shared) and `head`. `value` is
        `entity_mean` minus `control_mean`, in positions, with its 95% interval over `n` pairs. `share_smaller` is the
        share of entities with the smaller increment, `effect_size` the rank-biserial correlation (-1 to 1, negative
        if entities are closer together). `p_value` is of the two-sided Wilcoxon test; `p_holm` is corrected over all
        sites, layers and heads of the same control and type. `largest_imbalance` of the matched control is the largest
        standardised mean difference. For `same first`, `num_passages` is the number of matched passages, and
        `entropy_difference` their mean difference of the entropy of the second word's prediction, in nats. `note` says
        why numbers, or all of a control's, are missing.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: The entities are of several languages.
    """
    increments_of(model)
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

    def recombined() -> list[dict[str, Any]]:
        mixed = scores_in_carriers(model, tokenizer, _recombined(entities))
        return _compare(model, "recombined", entities, real, mixed, seed)

    rows += rows_or_notes(recombined, {"control": "recombined"})
    done(CARRIER_PARTS)
    if corpus is None:
        note = "not measurable: no training corpus was given to find passages in"
        rows += [{"control": control, "note": note} for control in (SAME_FIRST, "matched")]
    else:

        def matched() -> list[dict[str, Any]]:
            matching = match_pairs(
                entities, corpus, tokenizer, lambda read, blocks: done(CARRIER_PARTS + MATCHING_PARTS * read // blocks)
            )
            ours = scores_in_passages(model, tokenizer, matching.entities.pairs, corpus)
            done(total - SAME_FIRST_PARTS - PASSAGE_PARTS)
            theirs = scores_in_passages(model, tokenizer, matching.controls.pairs, corpus)
            imbalance = {"largest_imbalance": matching.largest_imbalance}
            found = _compare(model, "matched", matching.entities.pairs, ours, theirs, seed)
            return [row | imbalance for row in found]

        rows += rows_or_notes(matched, {"control": "matched"})
        done(total - SAME_FIRST_PARTS)
        rows += rows_or_notes(lambda: _same_first(model, tokenizer, entities, corpus, seed), {"control": SAME_FIRST})
        done(total)
    schema: dict[str, Any] = dict.fromkeys(("control", "site", "type"), pl.String)
    schema |= dict.fromkeys(("layer", "head", "n", "num_passages"), pl.Int64)
    schema |= dict.fromkeys(NUMBERS, pl.Float64)
    return pl.DataFrame(rows, schema=schema | {"note": pl.String})


def match_pairs(
    entities: Sequence[Pair],
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase | None = None,
    progress: Progress | None = None,
) -> Matching:
    """Match entities with other bigrams by their counts in the training part of a corpus.

    Args:
        entities: All of one language.
        corpus: The model's training corpus.
        tokenizer: The corpus's tokenizer, unless that is the byte tokenizer.
        progress: Called with how many blocks of the corpus are read and how many there are.

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
    model: PreTrainedModel, control: str, entities: Sequence[Pair], ours: Scores, theirs: Scores, seed: int
) -> list[dict[str, Any]]:
    """Test each site, type, layer and head."""
    layers = layer_names(increments_of(model))
    sites = SITES_OF[control, bool(entities[0].separator)]
    indices = [SITES.index(site) for site in sites]
    known = np.asarray(~np.isnan((ours + theirs)[:, indices]).any(axis=(2, 3)))
    types = np.array([pair.type for pair in entities])
    rows = []
    for kind in ("all", *dict.fromkeys(types[known.any(axis=1)].tolist())):
        tests = []
        for place, (site, index) in enumerate(zip(sites, indices, strict=True)):
            chosen = known[:, place] if kind == "all" else known[:, place] & (types == kind)
            tests += [
                {"control": control, "site": site, "type": kind, "layer": layer, "head": head}
                | _test(ours[chosen, index, number, head], theirs[chosen, index, number, head], seed)
                for number, layer in enumerate(layers)
                for head in range(ours.shape[-1])
            ]
        corrected = statistics.holm([test.get("p_value", np.nan) for test in tests])
        rows += [
            test | {"p_holm": float(p)} if "p_value" in test else test for test, p in zip(tests, corrected, strict=True)
        ]
    return rows


def _same_first(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    entities: Sequence[Pair],
    corpus: Corpus,
    seed: int,
) -> list[dict[str, Any]]:
    if not entities[0].separator:
        return [{"control": SAME_FIRST, "note": "not measurable: there is no space between the parts"}]
    found = same_first(model, tokenizer, entities, corpus)
    of_all = {"num_passages": found.num_passages, "entropy_difference": found.entropy_difference}
    return [row | of_all for row in _compare(model, SAME_FIRST, entities, found.entities, found.others, seed)]


def _test(ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int) -> dict[str, Any]:
    if len(ours) < statistics.MIN_DOCUMENTS:
        return {"n": len(ours), "note": f"not measurable: {len(ours)} pairs are too few for a test"}
    differences = np.where(np.abs(ours - theirs) < RESOLUTION, 0.0, ours - theirs)
    test = statistics.wilcoxon(differences, seed=seed)
    values = {
        "n": len(ours),
        "entity_mean": float(ours.mean()),
        "control_mean": float(theirs.mean()),
        "value": float(test.mean_difference.value),
    }
    if not test.num_different:
        return values | {
            "note": "not measurable: the increment is the same for every pair, because it depends on the token alone"
        }
    return values | {
        "low": float(test.mean_difference.low),
        "high": float(test.mean_difference.high),
        "share_smaller": float((differences < 0).mean()),
        "effect_size": test.effect_size,
        "p_value": test.p_value,
    }


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Matched controls come from the corpus, if there is one."""
    language = inputs.language or "en"
    return pairs(model, inputs.pairs, language=language, corpus=inputs.corpus, seed=inputs.seed, progress=progress)


def _variants(inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
    """Each bundled list, unless a list or a language was given."""
    if inputs.pairs is not None or inputs.language is not None:
        yield "", inputs
        return
    for language in get_args(Language):
        yield language, replace(inputs, language=language)


MEASURE = Measure(
    name="pairs",
    question="Are the parts of a name closer together than other words that are as likely to follow each other?",
    run=_run,
    value="increment in entities minus increment in the control, positions",
    counts="pairs",
    columns=("control", "site", "type", "layer", "head", "value [low, high]", "effect_size", "p_holm", "n"),
    matrix=Matrix(rows=("control", "site", "type")),
    needs=(),
    takes=("corpus", "pairs", "language"),
    variants=_variants,
)

"""Each measure called with what it takes of the inputs that a person gave."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from howfar.errors import ConfigError
from howfar.measures.attention import attention
from howfar.measures.boundaries.measure import MAX_GAPS, boundaries
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.calibration import calibration
from howfar.measures.contexts import contexts
from howfar.measures.documents import documents_of, spread_documents
from howfar.measures.extrapolation import extrapolation
from howfar.measures.gap_effects import gap_effects
from howfar.measures.increments import increments
from howfar.measures.interventions import interventions
from howfar.measures.neutrality import neutrality
from howfar.measures.pairs import pairs
from howfar.measures.passes import MOST_CHARACTERS, window_length
from howfar.measures.token_classes import Classes
from howfar.measures.vocabulary import vocabulary
from howfar.models.loading import load, tokenizer_of
from howfar.progress import Progress
from howfar.reports.inputs import Inputs
from howfar.text.segmentation import Segmentation
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

DEFAULT_TARGET = "chinese-words"
DEFAULT_LANGUAGE = "en"
MOST_DOCUMENTS = 256  # in which boundaries are found by rule,
FIRST_CHARACTERS = 1000  # which are held for like the rest
DEFAULT_TOKENS = 40  # whose predictions are differentiated


def run_increments(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Classes of text unless those of code are asked for."""
    return increments(
        model,
        inputs.some_texts,
        classes=cast(Classes, inputs.classes or "text"),
        seed=inputs.seed,
        progress=progress,
        **_sized(inputs, "num_documents"),
    )


def run_boundaries(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Gold boundaries where there are some, else those that the target's own rule finds in the texts."""
    target = inputs.target or DEFAULT_TARGET
    if target not in TARGETS:
        raise ConfigError(f"there is no target {target!r}; choose from {', '.join(TARGETS)}")
    if inputs.gold is not None and inputs.texts is not None and inputs.corpus is None:
        raise ConfigError(
            "boundaries are either known from --gold FILE or found by rule in --text FILE; give one of the two"
        )
    return boundaries(
        model,
        inputs.gold if inputs.gold is not None else _segmented(model, inputs, target),
        target=target,
        corpus=inputs.corpus,
        seed=inputs.seed,
        progress=progress,
        **_sized(inputs, "max_gaps"),
    )


def run_pairs(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """The corpus, if there is one, is where matched controls are found."""
    language = inputs.language or DEFAULT_LANGUAGE
    return pairs(model, inputs.pairs, language=language, corpus=inputs.corpus, seed=inputs.seed, progress=progress)


def run_neutrality(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """One pair for each model to compare with."""
    against = {name: [load(name)] for name in inputs.against or ()}
    return neutrality(
        [model], against, inputs.some_texts, seed=inputs.seed, progress=progress, **_sized(inputs, "num_documents")
    )


def run_attention(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """On a window of each of some documents."""
    return attention(model, inputs.some_texts, seed=inputs.seed, progress=progress, **_sized(inputs, "num_documents"))


def run_interventions(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Every kind of them."""
    return interventions(
        model, inputs.some_texts, seed=inputs.seed, progress=progress, **_sized(inputs, "num_documents")
    )


def run_extrapolation(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Up to eight times the training length."""
    return extrapolation(model, inputs.some_texts, seed=inputs.seed, progress=progress, **_sized(inputs, "num_windows"))


def run_gap_effects(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Of the first tokens of the first text."""
    tokenizer = tokenizer_of(model)
    text = next((document.text for document in documents_of(inputs.some_texts, tokenizer) if document.text), "")
    wanted = min(inputs.sample or DEFAULT_TOKENS, window_length(model) - 1)
    ends = byte_spans_of_tokens(tokenizer, text[: MOST_CHARACTERS * wanted]).byte_spans[:wanted, 1]
    # A character that is not whole at the end is left out.
    beginning = text.encode()[: ends[-1] if len(ends) else 0].decode(errors="ignore")
    return gap_effects(model, beginning, tokenizer=tokenizer, progress=progress).table()


def run_vocabulary(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Farthest from the mean first; the corpus, if there is one, is where tokens are counted."""
    import polars as pl

    table = vocabulary(model, inputs.corpus)
    never_seen = pl.col("count").fill_null(1) == 0
    return table.sort(never_seen, -pl.col("drift").abs(), maintain_order=True)


def run_contexts(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """In all documents, or in a sample of them."""
    return contexts(model, inputs.some_texts, seed=inputs.seed, progress=progress, **_sized(inputs, "num_documents"))


def run_calibration(model: None, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Of models that it trains."""
    return calibration(seed=inputs.seed, progress=progress, **_sized(inputs, "num_seeds"))


def _sized(inputs: Inputs, name: str) -> dict[str, Any]:
    """The size of the sample, by the measure's own name for it."""
    return {} if inputs.sample is None else {name: inputs.sample}


def _segmented(model: PreTrainedModel, inputs: Inputs, target: str) -> Iterator[Segmentation]:
    """Beginnings of texts, with the boundaries that the target's own rule finds; in random order.

    They are so long that all texts together hold the gaps asked for: an interval wants many documents, not long ones.
    """
    documents = spread_documents(inputs.some_texts, tokenizer_of(model), num_documents=MOST_DOCUMENTS)
    texts = [document.text for document in documents if document.text]
    gaps_per_character = sum(TARGETS[target].candidates(text[:FIRST_CHARACTERS]).mean() for text in texts)
    length = math.ceil((inputs.sample or MAX_GAPS) / max(gaps_per_character, 1e-9))
    for number in np.random.default_rng(inputs.seed).permutation(len(texts)).tolist():
        yield TARGETS[target].segment(texts[number][:length])

"""Each measure called with what it takes of the inputs that a person gave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from howfar.errors import ConfigError
from howfar.measures.attention import attention
from howfar.measures.boundaries import boundaries
from howfar.measures.documents import documents_of
from howfar.measures.extrapolation import extrapolation
from howfar.measures.interventions import interventions
from howfar.measures.neutrality import neutrality
from howfar.measures.pairs import pairs
from howfar.measures.targets import TARGETS
from howfar.measures.vocabulary import vocabulary
from howfar.models.loading import load, tokenizer_of
from howfar.reports.inputs import Inputs
from howfar.text.segmentation import Segmentation
from howfar.tracing.run import Progress

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel

DEFAULT_TARGET = "chinese-words"
DEFAULT_LANGUAGE = "en"


def run_boundaries(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Gold boundaries where there are some, else those that the target's own rule finds in the texts."""
    target = inputs.target or DEFAULT_TARGET
    if target not in TARGETS:
        raise ConfigError(f"there is no target {target!r}; choose from {', '.join(TARGETS)}")
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
    return pairs(model, inputs.pairs, language=language, corpus=inputs.corpus, seed=inputs.seed)


def run_neutrality(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """One pair for each model to compare with."""
    against = {name: [load(name)] for name in inputs.against or ()}
    return neutrality([model], against, inputs.some_texts, seed=inputs.seed, progress=progress)


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


def run_vocabulary(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """The corpus, if there is one, is where tokens are counted."""
    return vocabulary(model, inputs.corpus)


def _sized(inputs: Inputs, name: str) -> dict[str, Any]:
    """The size of the sample, by the measure's own name for it."""
    return {} if inputs.sample is None else {name: inputs.sample}


def _segmented(model: PreTrainedModel, inputs: Inputs, target: str) -> Iterator[Segmentation]:
    """Texts that have gaps to ask about, with the boundaries that the target's own rule finds."""
    for document in documents_of(inputs.some_texts, tokenizer_of(model)):
        if TARGETS[target].candidates(document.text).any():
            yield TARGETS[target].segment(document.text)

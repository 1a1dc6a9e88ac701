"""How far the positions advance at tokens of each class: letters, spaces, punctuation, Chinese characters and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures import statistics
from howfar.measures.documents import Document, documents_of
from howfar.measures.vocabulary import vocabulary_increments
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.text.classes import ByteClass, CodeClass, classes_of_byte_values, classes_of_bytes, code_classes_of_bytes
from howfar.text.corpus import Corpus
from howfar.text.spans import token_bytes
from howfar.text.subword_classes import SubwordClass, classes_of_subword_vocabulary, classes_of_subwords
from howfar.text.tokenizer import END_OF_DOCUMENT, is_byte_tokenizer
from howfar.tracing import Trace, trace_many
from howfar.tracing.run import Progress

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Classes = Literal["text", "code"]

NEAR_BOUND = 0.01
"""An increment within this share of its upper bound counts as saturated."""

SATURATED = 0.5
"""The share of saturated tokens from which on a class is said to be saturated."""


@dataclass(frozen=True)
class _Sums:
    """Sums over the tokens of each class, document by document.

    Attributes:
        counts: `[class, document]`, tokens.
        sums: `[layer, head, class, document]`, of increments.
        squares: Likewise, of squared increments.
        near_bound: Likewise, of tokens near the upper bound.
        lowest: `[layer, head, class]`, over all documents; infinite where there are no tokens.
        highest: Likewise.
        layers: The decoder layers, None for shared increments.
    """

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    near_bound: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    layers: tuple[int | None, ...]


def increments(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    classes: Classes = "text",
    num_documents: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure mean, spread and range of the increments of each class of tokens.

    Args:
        model: A model with increments.
        texts: A corpus, of which the held-out documents are read, or texts.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        classes: `"text"`, or `"code"` for source code read by a byte model.
        num_documents: At most so many documents, spread evenly over the texts.
        seed: Of the intervals.
        progress: Called with how many documents are done and how many there are.

    Returns:
        One row per `layer` (null if shared), `head` and `class` (`all` first). Where `over` is `text`, `mean` is over
        the tokens of the class in the texts and `relative` is that divided by the mean over all tokens of the layer
        and head, which takes the layer's scale out; both have `_low` and `_high` of their 95% intervals, documents
        resampled. Where it is `vocabulary`, `mean` is over the tokens of the class themselves, each once, and exact:
        these rows are there for increments that depend on the token alone. `sd`, `lowest` and `highest` are of
        single tokens, in positions; `share_near_bound` are those within 1% of the upper bound, and `saturated` says
        that they are half of the class or more, so that its mean says no more than "as far as can be". `note` says
        why where there are no numbers.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There are no documents, or fewer than 10.
        ConfigError: The classes are unknown, or of code where the model does not read bytes.
    """
    import polars as pl

    config = increments_of(model).config
    tokenizer = tokenizer or tokenizer_of(model)
    if classes not in ("text", "code") or (classes == "code" and not is_byte_tokenizer(tokenizer)):
        raise ConfigError(f"classes are {classes!r}; give 'text', or 'code' for a model that reads bytes")
    names = _class_names(tokenizer, classes)
    bound = config.max_increment if config.bound == "sigmoid" else np.inf
    documents = _spread(list(documents_of(texts, tokenizer)), num_documents)
    sums = _sums(model, tokenizer, documents, classes, len(names), bound, progress)
    rows = list(_rows_over_text(sums, names, seed))
    rows += _rows_over_vocabulary(model, tokenizer, classes, names, bound, shared=config.scope == "shared")
    schema: dict[str, Any] = {"over": pl.String, "layer": pl.Int64, "head": pl.Int64, "class": pl.String}
    floats = ("mean", "mean_low", "mean_high", "relative", "relative_low", "relative_high", "sd", "lowest", "highest")
    schema |= dict.fromkeys((*floats, "share_near_bound"), pl.Float64)
    schema |= {"saturated": pl.Boolean, "num_tokens": pl.Int64, "num_documents": pl.Int64, "note": pl.String}
    return pl.DataFrame(rows, schema=schema)


def _spread(documents: list[Document], most: int) -> list[Document]:
    """So many documents, evenly spread, so that every source has its share."""
    if not documents:
        raise NotMeasurableError("there are no documents to measure on; give some text")
    chosen = np.unique(np.linspace(0, len(documents) - 1, min(most, len(documents))).round().astype(int))
    return [documents[index] for index in chosen]


def _class_names(tokenizer: PreTrainedTokenizerBase, classes: Classes) -> list[str]:
    kind: type[IntEnum] = CodeClass if classes == "code" else ByteClass if is_byte_tokenizer(tokenizer) else SubwordClass
    return [member.name.lower() for member in kind]


def _classes_of(trace: Trace, classes: Classes, is_bytes: bool) -> NDArray[np.uint8]:
    if classes == "code":
        return code_classes_of_bytes(trace.token_ids)
    return classes_of_bytes(trace.token_ids) if is_bytes else classes_of_subwords(trace.text, trace.token_bytes)


def _sums(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    documents: list[Document],
    classes: Classes,
    num_classes: int,
    bound: float,
    progress: Progress | None,
) -> _Sums:
    is_bytes = is_byte_tokenizer(tokenizer)
    shared = increments_of(model).config.scope == "shared"
    per_document = []
    layers: tuple[int, ...] = ()
    for done, traced in enumerate(trace_many(model, (document.text for document in documents), tokenizer), start=1):
        values = traced.increments[:1] if shared else traced.increments
        # The mark that ends the document before stands in front of the text, and is counted with it.
        values = np.concatenate([traced.mark_increments[: len(values), :, None], values], axis=-1)
        marks = [END_OF_DOCUMENT] if is_bytes else []
        of_mark = _mark_class(classes, is_bytes) if marks or not is_bytes else 0
        of_tokens = np.append(np.uint8(of_mark), _classes_of(traced, classes, is_bytes))
        per_document.append(_sums_of_document(values.astype(np.float64), of_tokens, num_classes, bound))
        layers = traced.layers
        if progress is not None:
            progress(done, len(documents))
    counts, sums, squares, near, lowest, highest = (np.stack(part, axis=-1) for part in zip(*per_document, strict=True))
    return _Sums(
        counts, sums, squares, near, lowest.min(axis=-1), highest.max(axis=-1), (None,) if shared else tuple(layers)
    )

"""How far the positions advance at tokens of each class: letters, spaces, punctuation, Chinese characters and so on.

A document is read in windows that follow a document mark. The first mark is not counted: it only shifts the whole
window, to which attention is blind. The mark after a document is counted, as the class of document ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.choices import Classes
from howfar.measures.declaration import Matrix, Measure, of_texts
from howfar.measures.documents import documents_of
from howfar.measures.layers import check_accumulates, layer_names, limits_of
from howfar.measures.passes import check_vocabulary, window_length
from howfar.measures.tables import Row, places_of, rows_or_notes, table
from howfar.measures.token_classes import class_names, classes_of_vocabulary, classified
from howfar.measures.vocabulary import vocabulary_increments
from howfar.positions import increments_of
from howfar.positions.bounds import bound_of
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.readings import stacked
from howfar.reading.windows import Window
from howfar.text.classes import class_in_words

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]

MAX_WINDOWS = 8
"""The most windows of a document; they are spread evenly over it."""
MAX_CHARACTERS = 1_000_000
"""The most characters of a document that are read."""
SATURATED = 0.5
"""A class counts as saturated if at least this share of its tokens is at one bound."""
NEAR_BOUND = 0.01
"""An increment within this share of its range counts as at the bound (without an upper bound, of 1 position)."""


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
        classes: `"text"`, or `"code"` for source code read by a byte model.

    Returns:
        One row per `layer` (null if shared), `head` and `class` (`all` first). Where `over` is `text`, `value` is the
        mean over the tokens of the class in the texts, in positions. `relative` is this mean divided by the mean over
        all tokens of the layer and head, including document ends, which removes the layer's scale; null where that
        mean's interval contains 0, as it can if steps go both ways. Both have 95% intervals over `n` documents. Where
        `over` is `vocabulary`, the mean is exact, with each token of the class counted once; these rows exist if the
        increment depends on the token alone. `sd`, `lowest` and `highest` are over single tokens, in positions.
        `share_at_zero` and `share_at_maximum` are the shares of tokens within 1% of a bound. `saturated` is true if one
        of them is at least half, so the mean only says "as near" or "as far as possible". `note` says why numbers are
        missing.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There are fewer than 10 documents, their tokens are not the model's, or increments are not
            summed.
        ConfigError: The classes are unknown, or are those of code but the model does not read bytes.
    """
    check_accumulates(increments_of(model))
    reader = Reader(model, tokenizer, context=window_length(model))
    names = class_names(reader.tokenizer, classes)
    windows = _windows(reader, texts, classes, num_documents)
    sums = _read(reader, windows, len(names), progress)
    spread = sums.by_class.together
    options: dict[str, Any] = {"seed": seed}
    options["limits"] = limits_of(increments_of(model), spread.lowest.min(), spread.highest.max())
    means = statistics.ratio(sums.sums.sum(axis=-2), sums.counts.sum(axis=0), **options)
    is_scale = (means.low > 0) | (means.high < 0)
    rows = list(_rows_over_text(sums, names, layer_names(increments_of(model)), means, is_scale, options))
    scale = np.where(is_scale, means.value, np.nan)[0]
    over_vocabulary = partial(_rows_over_vocabulary, model, reader.tokenizer, classes, names, scale)
    rows += rows_or_notes(over_vocabulary, {"over": "vocabulary"})
    return table(
        rows,
        *((str, "over"), (int, "layer head"), (str, "class")),
        (float, "value low high relative relative_low relative_high sd lowest highest share_at_zero share_at_maximum"),
        *((bool, "saturated"), (int, "num_tokens n")),
    )


def _windows(
    reader: Reader, texts: Corpus | Iterable[str], classes: Classes, num_documents: int
) -> dict[Window, NDArray[np.uint8]]:
    """Windows spread evenly over each document, from its beginning to its end, with the classes of their kept tokens.

    Documents are numbered in their order. The windows of a short document may overlap, but keep each token once.
    """
    documents = [d for d in documents_of(texts, reader.tokenizer, num_documents=num_documents) if d.text]
    if len(documents) < statistics.MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{len(documents)} documents with text give no interval; give at least {statistics.MIN_DOCUMENTS}, "
            "or split the text into more"
        )
    length = reader.context - 1  # each window begins with a mark
    windows = {}
    for number, document in enumerate(documents):
        tokens, of_tokens = classified(reader.tokenizer, document.text[:MAX_CHARACTERS], classes)
        num_tokens = len(tokens) - 1
        num_windows = min(MAX_WINDOWS, -(-num_tokens // length))
        stop = 1
        for start in np.linspace(1, max(1, num_tokens + 1 - length), num_windows).astype(int).tolist():
            kept_from = max(start, stop)
            inside = tokens[start : start + length]
            stop = start + len(inside)
            # The mark takes the place of the token before the window.
            windows[Window(number, np.append(tokens[0], inside), start - 1, kept_from)] = of_tokens[kept_from:stop]
    return windows


@dataclass(frozen=True)
class Spread:
    """Sums and range of groups of increments, in positions, one entry per group."""

    sums: Array  # `[5, ...]`: number of tokens, sum, sum of squares, number at the lower and at the upper bound
    lowest: Array
    highest: Array

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Spread:
        """Groups without tokens; lowest and highest are infinite."""
        return cls(np.zeros((5, *shape)), np.full(shape, np.inf), np.full(shape, -np.inf))

    @classmethod
    def of(cls, values: Array, bounds: tuple[float, float]) -> Spread:
        """The spread of increments `[..., token]` over the tokens; outside the bounds they count as at one."""
        each = (np.ones_like(values), values, np.square(values), values < bounds[0], values > bounds[1])
        return cls(np.stack([one.sum(axis=-1) for one in each]), values.min(axis=-1), values.max(axis=-1))

    def add(self, place: int, other: Spread) -> None:
        """Add tokens at an index of the last axis."""
        self.sums[..., place] += other.sums
        self.lowest[..., place] = np.minimum(self.lowest[..., place], other.lowest)
        self.highest[..., place] = np.maximum(self.highest[..., place], other.highest)

    @property
    def together(self) -> Spread:
        """The spread over all groups of the last axis."""
        return Spread(self.sums.sum(axis=-1), self.lowest.min(axis=-1), self.highest.max(axis=-1))

    @property
    def mean(self) -> Array:
        """Mean over tokens; NaN for a group without tokens."""
        with np.errstate(invalid="ignore"):
            return self.sums[1] / self.sums[0]

    def row(self, index: tuple[int, ...]) -> Row:
        """The columns of one group in a table."""
        num_tokens, _, squares, *at_bounds = (float(sums[index]) for sums in self.sums)
        at_zero, at_maximum = (number / num_tokens for number in at_bounds)
        return {
            "sd": float(np.sqrt(np.maximum(squares / num_tokens - np.square(self.mean[index]), 0.0))),
            "lowest": float(self.lowest[index]),
            "highest": float(self.highest[index]),
            "share_at_zero": at_zero,
            "share_at_maximum": at_maximum,
            "saturated": max(at_zero, at_maximum) >= SATURATED,
            "num_tokens": int(num_tokens),
        }


@dataclass(frozen=True)
class ClassSums:
    """Sums over the tokens of each class: document by document, and their spread over all documents."""

    counts: Array  # number of tokens, `[class, document]`
    sums: Array  # sum of increments, `[layer, head, class, document]`
    by_class: Spread  # over all documents, `[layer, head, class]`


def _read(
    reader: Reader, windows: dict[Window, NDArray[np.uint8]], num_classes: int, progress: Progress | None
) -> ClassSums:
    """Sum up the increments of all windows by class and document."""
    check_vocabulary(reader, list(windows))
    config = increments_of(reader.model).config
    num_layers = 1 if config.scope == "shared" else len(reader.layers)
    num_documents = 1 + max(window.document for window in windows)
    shape, bounds = (num_layers, reader.num_heads, num_classes), bound_of(config).saturation(NEAR_BOUND)
    found = ClassSums(np.zeros((num_classes, num_documents)), np.zeros((*shape, num_documents)), Spread.none(shape))
    readings = reader.read(windows, "increments")
    for reading in followed(readings, progress, len(windows), lambda reading: len(reading.windows)):
        values = stacked(reading.increments)[:num_layers].astype(np.float64)
        for row, window in enumerate(reading.windows):
            for of_class in np.unique(windows[window]).tolist():
                spread = Spread.of(values[:, row, :, window.kept][..., windows[window] == of_class], bounds)
                found.counts[of_class, window.document] += spread.sums[0].flat[0]
                found.sums[..., of_class, window.document] += spread.sums[1]
                found.by_class.add(of_class, spread)
    return found


def _rows_over_text(
    sums: ClassSums,
    names: Sequence[str],
    layers: Sequence[int | None],
    mean_of_all: statistics.Estimate,
    is_scale: NDArray[np.bool_],
    options: dict[str, Any],
) -> Iterator[Row]:
    """Rows over text: `all` first, then every class.

    Args:
        mean_of_all: The mean over all tokens, `[layer, head]`.
        is_scale: Whether that mean is known to differ from 0, so that other means can be divided by it.
        options: For intervals.
    """
    num_documents = (sums.counts > 0).sum(axis=-1)
    is_measurable = num_documents >= statistics.MIN_DOCUMENTS
    chosen = np.flatnonzero(is_measurable)
    means = statistics.ratio(sums.sums[:, :, chosen], sums.counts[chosen], **options)
    relative = means / mean_of_all[:, :, np.newaxis]
    totals, by_class = sums.by_class.together, sums.by_class
    for index, place in places_of(layers, sums.sums.shape[1]):
        row = {"over": "text", **place, "class": "all"} | mean_of_all[index].row() | {"relative": 1.0}
        yield row | totals.row(index) | {"n": mean_of_all.num_documents}
        for number, of_class in enumerate(chosen.tolist()):
            row = {"over": "text", **place, "class": names[of_class], **means[*index, number].row()}
            if is_scale[index]:
                row |= relative[*index, number].row("relative")
            yield row | by_class.row((*index, of_class)) | {"n": int(num_documents[of_class])}
    for of_class in np.flatnonzero(~is_measurable).tolist():
        num = int(num_documents[of_class])
        documents = "1 document" if num == 1 else f"{num} documents"
        few = f"in {documents}, too few for an interval" if num else "in none of the texts"
        row = {"over": "text", "class": names[of_class], "num_tokens": int(sums.counts[of_class].sum()), "n": num}
        yield row | {"note": f"not measurable: {class_in_words(names[of_class])} occurs {few}"}


def _rows_over_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    classes: Classes,
    names: Sequence[str],
    scale: Array,
) -> Iterator[Row]:
    """Rows over the vocabulary, if increments depend on the token alone; `scale` is the mean or NaN, `[head]`."""
    config = increments_of(model).config
    size = min(len(tokenizer), model.get_input_embeddings().num_embeddings)
    values = vocabulary_increments(model, size).astype(np.float64)
    of_tokens = classes_of_vocabulary(tokenizer, size, classes)
    layer = None if config.scope == "shared" else 0
    for head, of_head in enumerate(values):
        for of_class, name in [(None, "all"), *enumerate(names)]:
            chosen = of_head if of_class is None else of_head[of_tokens == of_class]
            if len(chosen):
                mean = float(chosen.mean())
                row = {"over": "vocabulary", "layer": layer, "head": head, "class": name, "value": mean}
                row |= {"relative": statistics.or_none(mean / float(scale[head]))}
                yield row | Spread.of(chosen, bound_of(config).saturation(NEAR_BOUND)).row(())


MEASURE = Measure(
    name="increments",
    question="How far do positions advance at letters, spaces, punctuation, Chinese characters and so on?",
    run=of_texts(increments, "num_documents"),
    value="mean increment, positions",
    counts="documents",
    columns=(
        *("over", "layer", "head", "class", "value [low, high]", "relative [relative_low, relative_high]", "sd"),
        *("lowest", "highest", "saturated", "num_tokens"),
    ),
    matrix=Matrix(rows=("over", "class")),
    takes=("classes",),
    sample="documents",
)

"""How far the positions advance at tokens of each class: letters, spaces, punctuation, Chinese characters and so on.

A document is read in windows that follow a document mark. The first mark is not counted: it only shifts the whole
window, to which attention is blind. The mark after a document is counted, as the class of document ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.choices import Classes
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import documents_of
from howfar.measures.increments.class_sums import ClassSums, Spread
from howfar.measures.inputs import Inputs
from howfar.measures.layers import check_accumulates, layer_names
from howfar.measures.passes import check_vocabulary, window_length
from howfar.measures.token_classes import class_names, classes_of_vocabulary, classified
from howfar.measures.vocabulary import vocabulary_increments
from howfar.positions import IncrementConfig, increments_of
from howfar.positions.bounds import bound_of
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.reading.readings import stacked
from howfar.reading.windows import Window
from howfar.text.classes import class_in_words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_WINDOWS = 8
"""The most windows of a document; they are spread evenly over it."""
MAX_CHARACTERS = 1_000_000
"""The most characters of a document that are read."""
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
        model: A model with increments.
        texts: Texts, or a corpus, whose held-out documents are read.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        classes: `"text"`, or `"code"` for source code read by a byte model.
        num_documents: The most documents; they are spread evenly over the texts.
        seed: Seed of the intervals.
        progress: Called with how many windows are done and how many there are.

    Returns:
        One row per `layer` (null if shared), `head` and `class` (`all` first). Where `over` is `text`, `value` is the
        mean over the tokens of the class in the texts, in positions. `relative` is this mean divided by the mean over
        all tokens of the layer and head, including document ends, which removes the layer's scale. Both have 95%
        intervals over `n` documents. Where `over` is `vocabulary`, the mean is exact, with each token of the class
        counted once; these rows exist if the increment depends on the token alone. `sd`, `lowest` and `highest` are
        over single tokens, in positions. `share_at_zero` and `share_at_maximum` are the shares of tokens within 1% of
        a bound. `saturated` is true if one of them is at least half, so the mean only says "as near" or "as far as
        possible". `note` says why numbers are missing.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There are fewer than 10 documents, their tokens are not the model's, or increments are not
            summed.
        ConfigError: The classes are unknown, or are those of code but the model does not read bytes.
    """
    config = increments_of(model).config
    check_accumulates(increments_of(model))
    reader = Reader(model, tokenizer, context=window_length(model))
    names = class_names(reader.tokenizer, classes)
    windows = _windows(reader, texts, classes, num_documents)
    sums = _read(reader, windows, len(names), progress)
    layers = layer_names(increments_of(model))
    rows = list(_rows_over_text(sums, names, layers, config, seed))
    scale = sums.by_class.together.mean[0]
    rows += _rows_over_vocabulary(model, reader.tokenizer, classes, names, scale)
    return _table(rows)


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


def _read(
    reader: Reader, windows: dict[Window, NDArray[np.uint8]], num_classes: int, progress: Progress | None
) -> ClassSums:
    """Sum up the increments of all windows by class and document."""
    check_vocabulary(reader, list(windows))
    config = increments_of(reader.model).config
    num_layers = 1 if config.scope == "shared" else len(reader.layers)
    num_documents = 1 + max(window.document for window in windows)
    sums = ClassSums.none(num_layers, reader.num_heads, num_classes, num_documents)
    done, bounds = 0, bound_of(config).saturation(NEAR_BOUND)
    for reading in reader.read(windows, "increments"):
        values = stacked(reading.increments)[:num_layers].astype(np.float64)
        for row, window in enumerate(reading.windows):
            sums.add(values[:, row, :, window.kept], windows[window], window.document, bounds)
        done += len(reading.windows)
        if progress is not None:
            progress(done, len(windows))
    return sums


def _rows_over_text(
    sums: ClassSums, names: Sequence[str], layers: Sequence[int | None], config: IncrementConfig, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows over text: `all` first, then every class."""
    measurable = (sums.counts > 0).sum(axis=-1) >= statistics.MIN_DOCUMENTS
    mean_of_all = statistics.ratio(sums.sums.sum(axis=-2), sums.counts.sum(axis=0), seed=seed)
    chosen = np.flatnonzero(measurable)
    means = statistics.ratio(sums.sums[:, :, chosen], sums.counts[chosen], seed=seed)
    relative = means / mean_of_all[:, :, np.newaxis]
    totals, by_class = sums.by_class.together, sums.by_class
    for index, layer in enumerate(layers):
        for head in range(sums.sums.shape[1]):
            place = {"over": "text", "layer": layer, "head": head}
            row = place | {"class": "all"} | mean_of_all[index, head].row() | {"relative": 1.0}
            yield row | totals.row((index, head)) | {"n": mean_of_all.num_documents}
            for number, of_class in enumerate(chosen.tolist()):
                row = {**place, "class": names[of_class], **means[index, head, number].row()}
                row |= relative[index, head, number].row("relative")
                num_documents = int((sums.counts[of_class] > 0).sum())
                yield row | by_class.row((index, head, of_class)) | {"n": num_documents}
    for of_class in np.flatnonzero(~measurable).tolist():
        num_documents = int((sums.counts[of_class] > 0).sum())
        counts = {"num_tokens": int(sums.counts[of_class].sum()), "n": num_documents}
        documents = "1 document" if num_documents == 1 else f"{num_documents} documents"
        few = f"in {documents}, too few for an interval" if num_documents else "in none of the texts"
        yield {
            "over": "text",
            "class": names[of_class],
            "note": f"not measurable: {class_in_words(names[of_class])} occurs {few}",
        } | counts


def _rows_over_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    classes: Classes,
    names: Sequence[str],
    scale: NDArray[np.float64],
) -> Iterator[dict[str, Any]]:
    """Rows over the vocabulary, if increments depend on the token alone; `scale` is the mean over text, `[head]`."""
    config = increments_of(model).config
    size = min(len(tokenizer), model.get_input_embeddings().num_embeddings)
    try:
        values = vocabulary_increments(model, size).astype(np.float64)
    except NotMeasurableError as error:
        yield {"over": "vocabulary", "note": f"not measurable: {error}"}
        return
    of_tokens = classes_of_vocabulary(tokenizer, size, classes)
    layer = None if config.scope == "shared" else 0
    for head, of_head in enumerate(values):
        for of_class, name in [(None, "all"), *enumerate(names)]:
            chosen = of_head if of_class is None else of_head[of_tokens == of_class]
            if len(chosen):
                mean = float(chosen.mean())
                row = {"over": "vocabulary", "layer": layer, "head": head, "class": name, "value": mean}
                row |= {"relative": mean / float(scale[head])}
                yield row | Spread.of(chosen, bound_of(config).saturation(NEAR_BOUND)).row(())


def _table(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    schema: dict[str, Any] = {"over": pl.String, "layer": pl.Int64, "head": pl.Int64, "class": pl.String}
    floats = ("value", "low", "high", "relative", "relative_low", "relative_high", "sd", "lowest", "highest")
    schema |= dict.fromkeys((*floats, "share_at_zero", "share_at_maximum"), pl.Float64)
    schema |= {"saturated": pl.Boolean, "num_tokens": pl.Int64, "n": pl.Int64, "note": pl.String}
    return pl.DataFrame(list(rows), schema=schema)


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Use classes of text unless those of code are chosen."""
    options = inputs.sized("num_documents") | {"classes": inputs.classes or "text"}
    return increments(model, inputs.some_texts, seed=inputs.seed, progress=progress, **options)


MEASURE = Measure(
    name="increments",
    question="How far do positions advance at letters, spaces, punctuation, Chinese characters and so on?",
    run=_run,
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

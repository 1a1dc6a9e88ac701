"""How far the positions advance at tokens of each class: letters, spaces, punctuation, Chinese characters and so on.

A document is read in windows that stand between two document marks. The first mark is not counted: it only moves the
whole window, which no attention sees. The last one is what stands for the end of a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.choices import Classes
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import spread_documents
from howfar.measures.increments.class_sums import ClassSums, Spread
from howfar.measures.inputs import Inputs
from howfar.measures.layers import layer_names
from howfar.measures.passes import check_vocabulary, window_length
from howfar.measures.token_classes import class_names, classes_of_vocabulary, classified
from howfar.measures.vocabulary import vocabulary_increments
from howfar.positions import IncrementConfig, increments_of
from howfar.positions.bounds import bound_of
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.reading.readings import stacked
from howfar.reading.windows import Window

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_WINDOWS = 8
"""Of a document; a longer document is read in so many places."""
MOST_CHARACTERS = 1_000_000
"""Of a document; what comes later is not read."""
NEAR_BOUND = 0.01
"""An increment within this share of its range counts as at the bound (without an upper bound, of 1 position)."""
SATURATED = 0.5
"""The share of tokens at a bound from which on a class is said to be saturated."""


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
        progress: Called with how many windows are done and how many there are.

    Returns:
        One row per `layer` (null if shared), `head` and `class` (`all` first). Where `over` is `text`, `value` is the
        mean over the tokens of the class in the texts, in positions. `relative` is that divided by the mean over all
        tokens of the layer and head, ends of documents among them, which takes the layer's scale out. Both have 95%
        intervals, `n` documents resampled. Where `over` is `vocabulary`, the mean is over the tokens of the class, each
        once, and exact; these
        rows are there where the increment depends on the token alone. `sd`, `lowest` and `highest` are of single
        tokens, in positions. `share_at_zero` and `share_at_maximum` of them are within 1% of a bound, and `saturated`
        says that one of these is half of the class or more, so that its mean says no more than "as near" or "as far as
        possible". `note` says why there are no numbers.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There are fewer than 10 documents, or their tokens are not the model's.
        ConfigError: The classes are unknown, or of code where the model does not read bytes.
    """
    config = increments_of(model).config
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
    """Windows spread evenly over each document, from its beginning to its end, and the classes of their kept tokens.

    Documents are numbered as they come. A short document's windows meet or overlap, and keep each token once.
    """
    documents = [d for d in spread_documents(texts, reader.tokenizer, num_documents=num_documents) if d.text]
    if len(documents) < statistics.MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{len(documents)} documents with text give no interval; give at least {statistics.MIN_DOCUMENTS}, "
            "or split the text into more"
        )
    length = reader.context - 1  # each window begins with a mark
    windows = {}
    for number, document in enumerate(documents):
        tokens, of_tokens = classified(reader.tokenizer, document.text[:MOST_CHARACTERS], classes)
        num_tokens = len(tokens) - 1
        num_windows = min(MOST_WINDOWS, -(-num_tokens // length))
        stop = 1
        for start in np.linspace(1, max(1, num_tokens + 1 - length), num_windows).astype(int).tolist():
            kept_from = max(start, stop)
            own = tokens[start : start + length]
            stop = start + len(own)
            # The mark stands where the token before the window does.
            windows[Window(number, np.append(tokens[0], own), start - 1, kept_from)] = of_tokens[kept_from:stop]
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
    done, bounds = 0, _bounds(config)
    for reading in reader.read(windows, "increments"):
        values = stacked(reading.increments)[:num_layers].astype(np.float64)
        for row, window in enumerate(reading.windows):
            sums.add(values[:, row, :, window.kept], windows[window], window.document, bounds)
        done += len(reading.windows)
        if progress is not None:
            progress(done, len(windows))
    return sums


def _bounds(config: IncrementConfig) -> tuple[float, float]:
    """Below and above what an increment counts as at its bound."""
    return bound_of(config).saturation(NEAR_BOUND)


def _rows_over_text(
    sums: ClassSums, names: Sequence[str], layers: Sequence[int | None], config: IncrementConfig, seed: int
) -> Iterator[dict[str, Any]]:
    """`all` first, then every class."""
    measurable = (sums.counts > 0).sum(axis=-1) >= statistics.MIN_DOCUMENTS
    mean_of_all = statistics.ratio(sums.sums.sum(axis=-2), sums.counts.sum(axis=0), seed=seed)
    chosen = np.flatnonzero(measurable)
    means = statistics.ratio(sums.sums[:, :, chosen], sums.counts[chosen], seed=seed)
    relative = means / mean_of_all[:, :, np.newaxis]
    totals, by_class = sums.by_class.together, sums.by_class
    for index, layer in enumerate(layers):
        for head in range(sums.sums.shape[1]):
            place = {"over": "text", "layer": layer, "head": head}
            row = place | {"class": "all"} | _interval("", mean_of_all[index, head]) | {"relative": 1.0}
            yield row | totals.row((index, head)) | {"n": mean_of_all.num_documents}
            for number, of_class in enumerate(chosen.tolist()):
                row = place | {"class": names[of_class]} | _interval("", means[index, head, number])
                row |= _interval("relative", relative[index, head, number])
                num_documents = int((sums.counts[of_class] > 0).sum())
                yield row | by_class.row((index, head, of_class)) | {"n": num_documents}
    for of_class in np.flatnonzero(~measurable).tolist():
        num_documents = int((sums.counts[of_class] > 0).sum())
        counts = {"num_tokens": int(sums.counts[of_class].sum()), "n": num_documents}
        few = f"in {num_documents} documents, too few for an interval" if num_documents else "in none of the texts"
        yield {
            "over": "text",
            "class": names[of_class],
            "note": f"not measurable: {names[of_class]} occurs {few}",
        } | counts


def _rows_over_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    classes: Classes,
    names: Sequence[str],
    scale: NDArray[np.float64],
) -> Iterator[dict[str, Any]]:
    """Rows of increments that depend on the token alone; `scale` is the mean over text, `[head]`."""
    config = increments_of(model).config
    size = min(len(tokenizer), model.get_input_embeddings().num_embeddings)
    try:
        values = vocabulary_increments(model, size).astype(np.float64)
    except NotMeasurableError as error:
        yield {"over": "vocabulary", "note": f"not measurable: {error}"}
        return
    of_tokens = classes_of_vocabulary(tokenizer, size, classes)
    layer = None if config.scope == "shared" else 0
    for head, own in enumerate(values):
        for of_class, name in [(None, "all"), *enumerate(names)]:
            chosen = own if of_class is None else own[of_tokens == of_class]
            if len(chosen):
                mean = float(chosen.mean())
                row = {"over": "vocabulary", "layer": layer, "head": head, "class": name, "value": mean}
                row |= {"relative": mean / float(scale[head])}
                yield row | Spread.of(chosen, _bounds(config)).row(())


def _interval(name: str, estimate: statistics.Estimate) -> dict[str, float]:
    prefix = f"{name}_" if name else ""
    return {
        name or "value": float(estimate.value),
        f"{prefix}low": float(estimate.low),
        f"{prefix}high": float(estimate.high),
    }


def _table(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    import polars as pl

    schema: dict[str, Any] = {"over": pl.String, "layer": pl.Int64, "head": pl.Int64, "class": pl.String}
    floats = ("value", "low", "high", "relative", "relative_low", "relative_high", "sd", "lowest", "highest")
    schema |= dict.fromkeys((*floats, "share_at_zero", "share_at_maximum"), pl.Float64)
    schema |= {"saturated": pl.Boolean, "num_tokens": pl.Int64, "n": pl.Int64, "note": pl.String}
    finished = []
    for row in rows:
        if "share_at_zero" in row:
            row["saturated"] = max(row["share_at_zero"], row["share_at_maximum"]) >= SATURATED
        finished.append(row)
    return pl.DataFrame(finished, schema=schema)


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Classes of text unless those of code are asked for."""
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

"""The passages of a corpus in which increments are largest, smallest, and most unlike what their class predicts.

Texts are read once, a stretch at a time, and only the passages that may still be needed are kept: memory does not grow
with the corpus. Beside the passages stands how increments are distributed, so that any increment can be ranked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.contexts.passages import Ends, Stretch, Traced, stretches_of
from howfar.measures.contexts.rows import Found, distribution_rows, passage_rows, table_of
from howfar.measures.declaration import Measure, of_texts
from howfar.measures.documents import Document, decoder_of, documents_of
from howfar.measures.statistics.streaming import ClassMoments, StreamSample
from howfar.measures.token_classes import class_names
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.progress import Progress
from howfar.reading import Trace, trace_many
from howfar.text.classes import classes_of_bytes
from howfar.text.subword_classes import classes_of_subwords
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAMPLED_TOKENS = 100_000
"""Tokens from which the distribution is estimated."""


def contexts(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    num_passages: int = 20,
    num_documents: int | None = None,
    per_document: int = 2,
    width: int = 60,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Find the passages in which increments are extreme, and how increments are distributed.

    Of passages that agree in the four characters up to the scored one (but for case and digits) only the most extreme
    is kept; where an increment depends on the token alone, of those with the same token. The mark between documents is
    not scored.

    Args:
        model: A model with increments.
        texts: A corpus, of which the held-out documents are read, or texts. Taken one at a time.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        num_passages: The most for each layer, head and kind.
        num_documents: The most documents to read, spread evenly over a corpus or sequence; all where None.
        per_document: The most passages from one document, or from one stretch of 65,536 characters of a long one.
        width: Characters of text kept on either side. Passages of a document are at least so far apart.
        seed: Of the sample behind the distribution.
        progress: Called with how many documents are begun and how many there are, as far as is known.

    Returns:
        One row per passage, the most extreme ones (`rank` 1) of all layers first: `kind` is one of `KINDS`, `layer` is
        null for shared increments. `increment` is that of the token, in positions; `class_mean` and `class_sd` are
        those of the tokens of its `class` (of which there were `num_tokens`), and `deviation` is how many standard
        deviations it lies from that mean. `left`, `scored` (the character that the token is a part of; `byte` says
        with which of its bytes it begins) and `right` are the passage; `token_id` and `token_hex` the token; `source`,
        `document` and `character` say where it stands. Rows of kind `distribution` say that a `share` of the
        `num_tokens` tokens of a class (`all` is one) have an increment of at most `increment`, estimated from at most
        100,000 tokens. `model` is the model's name.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There is no text, or it is tokenized for another model.
        ConfigError: A number is out of range.
    """
    config = increments_of(model).config
    for name, number in (("num_passages", num_passages), ("per_document", per_document), ("width", width)):
        if number < 1:
            raise ConfigError(f"{name} is {number}; it must be 1 or more")
    tokenizer = tokenizer or tokenizer_of(model)
    documents, total = _documents(texts, tokenizer, num_documents)
    found = None
    for traced in _read(model, tokenizer, _counted(documents, total, progress), width):
        values = traced.trace.increments[:1] if config.scope == "shared" else traced.trace.increments
        if found is None:
            found = _nothing_yet(model, tokenizer, values.shape[:2], traced.trace.layers, num_passages, seed)
        values = values.reshape(-1, values.shape[-1])
        scored, classes = values[:, traced.is_scored], traced.classes[traced.is_scored]
        found.moments.add(scored, classes)
        found.sample.add(np.concatenate([scored, classes[None].astype(np.float32)]))
        found.ends.add(values, traced, per_stretch=per_document)
    if found is None:
        raise NotMeasurableError("there is no text to look for passages in; give some")
    passages = sorted(passage_rows(found, num_passages, per_document, width), key=lambda row: row["rank"])
    return table_of([*passages, *distribution_rows(found)], model.name_or_path or type(model).__name__)


def _documents(
    texts: Corpus | Iterable[str], tokenizer: PreTrainedTokenizerBase, num: int | None
) -> tuple[Iterator[Document], int | None]:
    """The documents, to be taken one at a time, and how many there are, if that is known."""
    if num is not None and num < 1:
        raise ConfigError(f"num_documents is {num}; it must be 1 or more")
    if isinstance(texts, Corpus):
        if num is None:
            return documents_of(texts, tokenizer), texts.held_out.num_documents
        decode, part = decoder_of(texts, tokenizer), texts.held_out
        numbers = _evenly(part.num_documents, num)
        return (Document(decode(part.document(n)), part.source_of(n), n) for n in numbers), len(numbers)
    if isinstance(texts, Sequence):
        numbers = _evenly(len(texts), len(texts) if num is None else num)
        return (Document(texts[n], "text", n) for n in numbers), len(numbers)
    documents = documents_of(texts)
    return (documents, None) if num is None else ((d for d, _ in zip(documents, range(num), strict=False)), num)


def _evenly(num_all: int, num_wanted: int) -> list[int]:
    return [int(place) for place in np.linspace(0, num_all - 1, min(num_wanted, num_all)).round()]


def _counted(documents: Iterable[Document], total: int | None, progress: Progress | None) -> Iterator[Document]:
    for number, document in enumerate(documents, start=1):
        yield document
        if progress is not None:
            progress(number, max(number, total or 0))


def _read(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: Iterable[Document], width: int
) -> Iterator[Traced]:
    """Let the model read stretch by stretch."""
    waiting: list[Stretch] = []

    def texts() -> Iterator[str]:
        context = int(model.config.get_text_config().max_position_embeddings)
        for stretch in stretches_of(documents, context):
            waiting.append(stretch)
            yield stretch.text

    is_bytes = is_byte_tokenizer(tokenizer)
    for trace in trace_many(model, texts(), tokenizer):
        yield Traced(waiting.pop(0), trace, _classes_of(trace, is_bytes), width)


def _classes_of(trace: Trace, is_bytes: bool) -> NDArray[np.uint8]:
    return classes_of_bytes(trace.token_ids) if is_bytes else classes_of_subwords(trace.text, trace.token_bytes)


def _nothing_yet(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    shape: tuple[int, ...],
    layers: tuple[int, ...],
    num_passages: int,
    seed: int,
) -> Found:
    """Before any text was read, for increments of `[layer, head]`."""
    num_layers, num_heads = shape
    names = class_names(tokenizer, "text")
    shared = increments_of(model).config.scope == "shared"
    # The network of the first layer, and one that is shared, reads the embedding and nothing else.
    by_token = range(num_heads) if shared or layers[0] == 0 else ()
    of_quantity = [None] if shared else list(layers)
    return Found(
        # Twice as many as needed, because some are left out later for standing too close to each other.
        Ends(num_layers * num_heads, len(names), 2 * num_passages, by_token),
        ClassMoments(len(names), num_layers * num_heads),
        StreamSample(SAMPLED_TOKENS, seed),
        tuple(layer for layer in of_quantity for _ in range(num_heads)),
        tuple(range(num_heads)) * num_layers,
        tuple(names),
    )


MEASURE = Measure(
    name="contexts",
    question="In which passages are increments largest, smallest, and most unlike what their class predicts?",
    run=of_texts(contexts, "num_documents"),
    rows="passages with one increment each, and the distribution of all increments",
    columns=("kind", "layer", "head", "increment", "class", "deviation", "left:-16", "scored", "right:8"),
    sample="documents",
    partitions=("kind", "layer"),
)

"""The passages of a corpus in which increments are largest, smallest, and farthest from the mean of their class.

Texts are read once, in sections, and only passages that may still be needed are kept, so memory does not grow with the
corpus. The table also has the distribution of increments, so that any increment can be ranked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, tee
from typing import TYPE_CHECKING

import numpy as np

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.contexts.passages import Ends, Traced, sections_of
from howfar.measures.contexts.rows import Found, distribution_rows, passage_rows, table_of
from howfar.measures.declaration import Measure, of_texts
from howfar.measures.documents import Document, documents_of
from howfar.measures.layers import check_accumulates, layer_names
from howfar.measures.statistics.streaming import ClassMoments, StreamSample
from howfar.measures.tables import places_of
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
"""Number of tokens from which the distribution is estimated."""


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
    """Find the passages with extreme increments, and the distribution of increments.

    Of passages with the same four characters up to the scored one, and the same token if it is longer (ignoring case
    and digits), only the most extreme is kept. If an increment depends on the token alone, this applies to passages
    with the same token. The mark between documents is not scored.

    Args:
        num_passages: The most passages per layer, head and kind.
        num_documents: As everywhere; all where None. Texts that are no sequence are taken one by one.
        per_document: The most passages from a document, or from a section of 65,536 characters of a long one.
        width: Characters of text kept on either side; also the least distance of two passages of a document.

    Returns:
        One row per passage, the most extreme ones (`rank` 1) of all layers first. `kind` is one of `KINDS`, `layer` is
        null for shared increments. `increment` is the token's, in positions. `class_mean` and `class_sd` are over the
        `num_tokens` tokens of its `class`; `deviation` is the distance from this mean in standard deviations. `left`,
        `scored` and `right` are the text: `scored` is the character that contains the token, and `byte` the index,
        from 1, of the token's first byte in it. `token_id` and `token_hex` are the token; `source`, `document` and
        `character` are its place. Rows of kind `distribution` are quantiles: a `share` of the `num_tokens` tokens of a
        class (or of `all`) have an increment of at most `increment`, estimated from at most 100,000 tokens. `model` is
        the model's name.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There is no text, it is tokenized for another model, or increments are not summed.
        ConfigError: A number is out of range.
    """
    check_accumulates(increments_of(model))
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
            found = _empty(model, tokenizer, traced.trace, num_passages, seed)
        values = values.reshape(-1, values.shape[-1])
        scored, classes = values[:, traced.is_scored], traced.classes[traced.is_scored]
        found.moments.add(scored, classes)
        found.sample.add(np.concatenate([scored, classes[None].astype(np.float32)]))
        found.ends.add(values, traced, per_section=per_document)
    if found is None:
        raise NotMeasurableError("there is no text in which to look for passages; give some")
    passages = sorted(passage_rows(found, num_passages, per_document, width), key=lambda row: row["rank"])
    return table_of([*passages, *distribution_rows(found)], model.name_or_path or type(model).__name__)


def _documents(
    texts: Corpus | Iterable[str], tokenizer: PreTrainedTokenizerBase, num: int | None
) -> tuple[Iterator[Document], int | None]:
    """The documents, one by one, and how many there are, if that is known."""
    if num is not None and num < 1:
        raise ConfigError(f"num_documents is {num}; it must be 1 or more")
    if isinstance(texts, Corpus | Sequence):
        total = texts.held_out.num_documents if isinstance(texts, Corpus) else len(texts)
        return documents_of(texts, tokenizer, num_documents=num), min(total, num or total)
    return islice(documents_of(texts), num), num  # the first ones of a stream, which need not be kept


def _counted(documents: Iterable[Document], total: int | None, progress: Progress | None) -> Iterator[Document]:
    for number, document in enumerate(documents, start=1):
        yield document
        if progress is not None:
            progress(number, max(number, total or 0))


def _read(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: Iterable[Document], width: int
) -> Iterator[Traced]:
    """Read the documents section by section."""
    context = int(model.config.get_text_config().max_position_embeddings)
    waiting, sections = tee(sections_of(documents, context))
    is_bytes = is_byte_tokenizer(tokenizer)
    for trace in trace_many(model, (section.text for section in sections), tokenizer):
        own = classes_of_bytes(trace.token_ids) if is_bytes else classes_of_subwords(trace.text, trace.token_bytes)
        yield Traced(next(waiting), trace, own, width)


def _empty(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, first: Trace, num_passages: int, seed: int
) -> Found:
    """Results before any text is read; `first` is the first trace."""
    names, num_heads = class_names(tokenizer, "text"), first.increments.shape[1]
    layers = layer_names(increments_of(model))
    # The network of the first layer, or a shared one, reads only the embedding.
    by_token = range(num_heads) if layers[0] in (None, 0) else ()
    places = tuple(place for _, place in places_of(layers, num_heads))
    return Found(
        # Twice as many as needed, because passages too close to each other are left out later.
        Ends(len(places), len(names), 2 * num_passages, by_token),
        ClassMoments(len(names), len(places)),
        StreamSample(SAMPLED_TOKENS, seed),
        places,
        tuple(names),
    )


MEASURE = Measure(
    name="contexts",
    question="In which passages are increments largest, smallest, or farthest from the mean of their class?",
    run=of_texts(contexts, "num_documents"),
    rows="passages with one increment each, and the distribution of all increments",
    columns=("kind", "layer", "head", "increment", "class", "deviation", "left:-16", "scored", "right:8"),
    sample="documents",
    partitions=("kind", "layer"),
)

"""The passages of a corpus in which increments are largest, smallest, and most unlike what their class predicts.

Texts are read once, a stretch at a time, and only the passages that may still be needed are kept: memory does not grow
with the corpus. Beside the passages stands how increments are distributed, so that any increment can be ranked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures.contexts.extremes import Candidate, choose
from howfar.measures.contexts.passages import Ends, Passage, Stretch, Traced, stretches_of
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

KINDS = ("largest", "smallest", "above its class", "below its class")
"""Kinds of passages: by increment, and by how far it lies from the mean of its class."""

DISTRIBUTION = "distribution"
"""Kind of the rows that say which share of the tokens have an increment of at most so much."""

SHARES = (0.001, 0.005, 0.01, 0.025, *np.arange(0.05, 0.96, 0.05).round(2).tolist(), 0.975, 0.99, 0.995, 0.999)
ALL_CLASSES = "all"

SAMPLED_TOKENS = 100_000
"""Tokens from which the distribution is estimated."""

FEWEST_TOKENS = 100
"""Tokens of a class from which on it predicts anything."""

LEAST_SPREAD = 1e-5
"""A class whose standard deviation is a smaller share of its mean than this has none but rounding."""


@dataclass(frozen=True)
class _Found:
    """All that is kept of the texts.

    Attributes:
        ends: The extreme passages.
        moments: Of each class.
        sample: Of increments, and the class as one more quantity.
        layers: Of each quantity; None where increments are shared.
        heads: Of each quantity.
        names: Of the classes.
    """

    ends: Ends
    moments: ClassMoments
    sample: StreamSample
    layers: tuple[int | None, ...]
    heads: tuple[int, ...]
    names: tuple[str, ...]


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
    passages = sorted(_passage_rows(found, num_passages, per_document, width), key=lambda row: row["rank"])
    return _table([*passages, *_distribution_rows(found)], model.name_or_path or type(model).__name__)


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
) -> _Found:
    """Before any text was read, for increments of `[layer, head]`."""
    num_layers, num_heads = shape
    names = class_names(tokenizer, "text")
    shared = increments_of(model).config.scope == "shared"
    # The network of the first layer, and one that is shared, reads the embedding and nothing else.
    by_token = range(num_heads) if shared or layers[0] == 0 else ()
    of_quantity = [None] if shared else list(layers)
    return _Found(
        # Twice as many as needed, because some are left out later for standing too close to each other.
        Ends(num_layers * num_heads, len(names), 2 * num_passages, by_token),
        ClassMoments(len(names), num_layers * num_heads),
        StreamSample(SAMPLED_TOKENS, seed),
        tuple(layer for layer in of_quantity for _ in range(num_heads)),
        tuple(range(num_heads)) * num_layers,
        tuple(names),
    )


def _passage_rows(found: _Found, num: int, per_document: int, width: int) -> Iterator[dict[str, Any]]:
    counts, means, deviations = found.moments.counts, found.moments.mean, found.moments.sd
    for quantity, (layer, head) in enumerate(zip(found.layers, found.heads, strict=True)):
        mean, sd = means[quantity], deviations[quantity]
        with np.errstate(invalid="ignore"):
            predicts = (counts >= FEWEST_TOKENS) & (sd > LEAST_SPREAD * np.maximum(np.abs(mean), 1.0))
        for kind, sign in zip(KINDS, (1, -1, 1, -1), strict=True):
            by_class = "class" in kind
            pools = [
                [_standardised(candidate, sign, mean, sd) for candidate in candidates] if by_class else candidates
                for of_class in range(len(found.names))
                if predicts[of_class] or not by_class
                for candidates in [found.ends.candidates(sign, quantity, of_class)]
            ]
            every = [candidate for pool in pools for candidate in pool]
            # Where the token decides, a passage is but an example of it, and may be anywhere.
            limits = (len(every), 0) if quantity in found.ends.by_token else (per_document, width)
            chosen = choose(every, num, per_stretch=limits[0], apart=limits[1])
            for rank, candidate in enumerate(chosen, start=1):
                of_class = candidate.item.class_number
                increment = sign * candidate.value
                if by_class:
                    increment = mean[of_class] + increment * sd[of_class]
                yield {
                    **{"kind": kind, "layer": layer, "head": head, "rank": rank, "increment": increment},
                    "class": found.names[of_class],
                    "deviation": (increment - mean[of_class]) / sd[of_class] if predicts[of_class] else None,
                    "class_mean": mean[of_class],
                    "class_sd": sd[of_class],
                    "num_tokens": int(counts[of_class]),
                    **_passage(candidate.item),
                }


def _standardised(candidate: Candidate[Passage], sign: int, mean: Any, sd: Any) -> Candidate[Passage]:
    of_class = candidate.item.class_number
    value = (candidate.value - sign * mean[of_class]) / sd[of_class]
    return Candidate(float(value), candidate.key, candidate.stretch, candidate.place, candidate.item)


def _passage(passage: Passage) -> dict[str, Any]:
    return {
        **{name: getattr(passage, name) for name in ("left", "scored", "right", "surprisal_nats", "token_id")},
        "byte": passage.byte_place,
        "token_hex": passage.token.hex(" ").upper(),
        **{name: getattr(passage, name) for name in ("source", "document", "character")},
    }


def _distribution_rows(found: _Found) -> Iterator[dict[str, Any]]:
    *of_quantities, classes = found.sample.values
    counts = found.moments.counts
    for layer, head, values in zip(found.layers, found.heads, of_quantities, strict=True):
        groups = {ALL_CLASSES: (values, int(counts.sum()))}
        groups |= {
            name: (values[classes == number], int(counts[number]))
            for number, name in enumerate(found.names)
            if (classes == number).sum() >= FEWEST_TOKENS
        }
        for name, (own, num_tokens) in groups.items():
            for share, increment in zip(SHARES, np.quantile(own, SHARES), strict=True):
                row = {"kind": DISTRIBUTION, "layer": layer, "head": head, "class": name, "share": share}
                yield row | {"increment": float(increment), "num_tokens": num_tokens}


def _table(rows: Sequence[dict[str, Any]], model: str) -> pl.DataFrame:
    import polars as pl

    schema: dict[str, Any] = {
        "kind": pl.String, "layer": pl.Int64, "head": pl.Int64, "rank": pl.Int64, "increment": pl.Float64,
        "class": pl.String, "deviation": pl.Float64, "class_mean": pl.Float64, "class_sd": pl.Float64,
        "num_tokens": pl.Int64, "left": pl.String, "scored": pl.String, "right": pl.String, "byte": pl.Int64,
        "token_id": pl.Int64, "token_hex": pl.String, "surprisal_nats": pl.Float64, "source": pl.String,
        "document": pl.Int64, "character": pl.Int64, "share": pl.Float64, "model": pl.String,
    }  # fmt: skip
    return pl.DataFrame([row | {"model": model} for row in rows], schema=schema)

"""Increments over a whole vocabulary: which tokens of a graft moved most, and whether several runs agree on them.

If an increment depends on the token alone (shared increments, and the first layer's) it is known exactly for every
token, even for those that a run never saw. These moved only because others did, so they are flagged and left out
of rankings and correlations. Only relative spacing matters: the run's mean increment, over the tokens
that it was trained on, is the scale of `drift`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.corpus.encoding import is_tokenized_by
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.declaration import Measure
from howfar.measures.inputs import Inputs
from howfar.measures.layers import check_accumulates
from howfar.measures.passes import in_batches
from howfar.measures.seen import windows_seen
from howfar.models.loading import tokenizer_of
from howfar.models.origin import origin_of
from howfar.positions import increments_of
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.classes import ByteClass, classes_of_bytes
from howfar.text.spans import token_bytes
from howfar.text.subword_classes import SubwordClass, classes_of_subword_vocabulary
from howfar.text.tokenizer import END_OF_DOCUMENT, is_byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from howfar.progress import Progress

TOKENS_AT_ONCE = 2**22  # of the corpus, while counting


def vocabulary(
    model: PreTrainedModel,
    corpus: Corpus | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    batch_size: int = 4096,
) -> pl.DataFrame:
    """The exact increment of every token of a vocabulary.

    Args:
        model: A model with shared increments, or with increments per layer, of which the first layer's are used.
        corpus: Its training corpus, of its own tokens. Counted are the windows that a model read of it, if its record
            says so, else the whole corpus. A graft made by this package knows its counts.

    Returns:
        A row for each head and token: `head`, `token_id`, `token` (readable), `class`, `special` (end of text and the
        like), `count` (in training; null if unknown), `increment` (in positions), `drift` (relative to the mean over
        tokens weighted by their training counts: 0.1 is a tenth farther than usual).

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: Its first layer has no increments, they are not summed, or the corpus has another tokenizer.
    """
    check_accumulates(increments_of(model))
    tokenizer = tokenizer or tokenizer_of(model)
    size = min(len(tokenizer), model.get_input_embeddings().num_embeddings)
    increments = vocabulary_increments(model, size, batch_size=batch_size)
    counts = _counts(model, corpus, tokenizer, size)
    weights = np.ones(size) if counts is None or not counts.any() else counts
    means = (increments @ weights / weights.sum())[:, None]
    pieces = token_bytes(tokenizer, range(size))
    special = np.isin(np.arange(size), tokenizer.all_special_ids)
    num_heads = len(increments)
    return pl.DataFrame(
        {
            "head": np.repeat(np.arange(num_heads), size),
            "token_id": np.tile(np.arange(size), num_heads),
            "token": [_readable(tokenizer, token, piece) for token, piece in enumerate(pieces)] * num_heads,
            "class": _classes(tokenizer, pieces) * num_heads,
            "special": np.tile(special, num_heads),
            "count": pl.Series(
                [None] * size * num_heads if counts is None else np.tile(counts, num_heads), dtype=pl.Int64
            ),
            "increment": increments.ravel(),
            "drift": (increments / means - 1).ravel(),
        }
    )


def movers(table: pl.DataFrame, *, num: int = 10, min_count: int = 1) -> pl.DataFrame:
    """The tokens that moved farthest from the mean, up and down: overall and in each class.

    Args:
        num: Number of tokens in each direction, overall and in each class.
        min_count: Leave out tokens with fewer occurrences in training.

    Returns:
        `table`'s columns, preceded by `among` (`"all"` or a class), `direction` (`"up"`, `"down"`) and `rank` from 1.
        Special tokens are a class of their own and not among `"all"`.

    Raises:
        NotMeasurableError: Training counts are not known, or no token reaches `min_count`.
    """
    seen = _seen(table, min_count)
    groups = {"all": seen.filter(~pl.col("special"))}
    groups |= {str(name): rows for (name,), rows in sorted(seen.group_by("class"), key=lambda group: str(group[0]))}
    parts = []
    for among, rows in groups.items():
        for direction, ahead in (("up", pl.col("drift") > 0), ("down", pl.col("drift") < 0)):
            ranked = rows.filter(ahead).sort(pl.col("drift").abs(), descending=True, maintain_order=True)
            chosen = ranked.group_by("head", maintain_order=True).head(num)
            rank = pl.int_range(1, pl.len() + 1).over("head").alias("rank")
            parts.append(
                chosen.select(pl.lit(among).alias("among"), pl.lit(direction).alias("direction"), rank, pl.all())
            )
    return pl.concat(parts)


def agreement(tables: Mapping[str, pl.DataFrame], *, min_count: int = 5) -> pl.DataFrame:
    """Whether runs agree on which tokens are far and which are near: rank correlations of their increments.

    Args:
        tables: From `vocabulary`, by the runs' names; all with the same vocabulary and one head.
        min_count: Leave out tokens with fewer occurrences in the training of either run.

    Returns:
        A row for each pair: `first`, `second`, `spearman` with its 95% interval `low`, `high` (over tokens,
        so it does not cover other seeds), `p_value`, `num_tokens`.

    Raises:
        NotMeasurableError: The runs have different vocabularies, several heads, or too few tokens in common.
    """
    rows = []
    for (first, one), (second, other) in combinations(tables.items(), 2):
        for name, table in ((first, one), (second, other)):
            if table["head"].n_unique() > 1:
                raise NotMeasurableError(f"{name} has increments per head; compare one head at a time")
        if not one["token"].equals(other["token"]):
            raise NotMeasurableError(
                f"{first} and {second} have different vocabularies, so their tokens cannot be compared; name models "
                "with the same tokenizer"
            )
        columns = ["token_id", "increment"]
        both = _seen(one, min_count).select(columns).join(_seen(other, min_count).select(columns), on="token_id")
        found = statistics.correlation(both["increment"], both["increment_right"], rank=True)
        rows.append({"first": first, "second": second, **found.row(), "num_tokens": found.num_pairs})
    return pl.DataFrame(rows).rename({"value": "spearman"}, strict=False)


def vocabulary_increments(model: PreTrainedModel, num_tokens: int, *, batch_size: int = 4096) -> NDArray[np.float32]:
    """The first layer's increments for the first tokens of the vocabulary; float32 `[head, token]`, in positions.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: Its first layer has no increments.
    """
    increments = increments_of(model)
    first = increments.layer_indices[0]
    if increments.config.scope == "per_layer" and first != 0:
        raise NotMeasurableError(
            f"the first layer with increments is layer {first}, where they depend on the text; measure them on a text"
        )
    reader, parts = Reader(model), []
    for tokens in in_batches(range(num_tokens), batch_size):
        alone = [Window(token, np.array([token])) for token in tokens]
        reading = reader.read_together(alone, "increments", until=first)
        parts.append(reading.increments[first][:, :, 0].T.float().cpu().numpy())
    return np.concatenate(parts, axis=1)


def _counts(
    model: PreTrainedModel, corpus: Corpus | None, tokenizer: PreTrainedTokenizerBase, size: int
) -> NDArray[np.int64] | None:
    if corpus is None:
        known = origin_of(model).counts
        return None if known is None else known.numpy()[:size]
    # Ids are counted, not text, so a corpus of bytes will not do for a model of other tokens.
    if not is_tokenized_by(corpus, tokenizer):
        raise NotMeasurableError(
            f"the corpus in {corpus.folder} is tokenized by {corpus.tokenizer_name!r}, not by this model's "
            "tokenizer; name the one that it was trained on"
        )
    counts = np.zeros(size, dtype=np.int64)
    for tokens in _read_tokens(model, corpus):
        counted = np.bincount(tokens, minlength=size)
        if len(counted) > size:
            raise NotMeasurableError(
                f"the corpus in {corpus.folder} holds token id {len(counted) - 1}, but the model knows ids up to "
                f"{size - 1}; name the corpus that it was trained on"
            )
        counts += counted
    return counts


def _read_tokens(model: PreTrainedModel, corpus: Corpus) -> Iterator[NDArray[np.integer[Any]]]:
    """The tokens of a corpus that a model has read, in parts; of a model without a record, all."""
    windows, tokens = windows_seen(model, corpus), corpus.train.tokens
    if windows is None:
        yield from (tokens[start : start + TOKENS_AT_ONCE] for start in range(0, len(tokens), TOKENS_AT_ONCE))
    else:
        for numbers in in_batches(range(len(windows)), max(1, TOKENS_AT_ONCE // windows.length)):
            yield np.concatenate([windows[number] for number in numbers])


def _seen(table: pl.DataFrame, min_count: int) -> pl.DataFrame:
    if table["count"].null_count():
        raise NotMeasurableError(
            "it is not known which tokens the model was trained on, and those that it never saw cannot be left out; "
            "give its training corpus to `vocabulary`"
        )
    seen = table.filter(pl.col("count") >= max(min_count, 1))
    if seen.is_empty():
        raise NotMeasurableError(
            f"no token occurred {min_count} times in training; lower min_count or train for longer"
        )
    return seen


def _classes(tokenizer: PreTrainedTokenizerBase, pieces: list[bytes]) -> list[str]:
    if not is_byte_tokenizer(tokenizer):
        return [SubwordClass(value).name.lower() for value in classes_of_subword_vocabulary(pieces)]
    # A byte beyond ASCII alone does not show which character it belongs to.
    beyond = ["continuation_byte"] * 64 + ["lead_byte"] * 64
    ascii_and_end = [ByteClass(value).name.lower() for value in classes_of_bytes([*range(128), END_OF_DOCUMENT])]
    return [*ascii_and_end[:128], *beyond, *ascii_and_end[128:]]


def _readable(tokenizer: PreTrainedTokenizerBase, token: int, piece: bytes) -> str:
    """A token as text: spaces kept, bytes without a character as `<0xE4>`, special tokens by name."""
    if not piece:
        return str(tokenizer.convert_ids_to_tokens(token))
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in piece)


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """Farthest from the mean first; tokens are counted in the corpus, if there is one."""
    table = vocabulary(model, inputs.corpus)
    never_seen = pl.col("count").fill_null(1) == 0
    return table.sort(never_seen, -pl.col("drift").abs(), maintain_order=True)


MEASURE = Measure(
    name="vocabulary",
    question="Which tokens of the vocabulary have much larger or smaller increments than usual?",
    run=_run,
    rows="exact increments, one for each token of the vocabulary",
    columns=("head", "token_id", "token", "class", "count", "increment", "drift"),
    needs=(),
    takes=("corpus",),
)

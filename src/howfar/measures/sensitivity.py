"""How much does the loss of later tokens depend on one gap? Close or widen the gap before a token in one layer.

The next tokens' loss is compared with and without the change, for the text's own next tokens and, as the null, for
tokens that the model samples instead. The model expects its own samples, so any change raises their loss on
average; a gap carries information about the *text* only as far as the text's tokens lose more. This works for any
rotary model: a plain one advances by 1 at each token. Reliability comes first: cells of layer and class are
correlated between halves of the documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure, of_texts
from howfar.measures.layers import check_accumulates, check_movable_alone, chosen_layers
from howfar.measures.passes import in_batches, sample_windows, window_length
from howfar.measures.statistics import MIN_DOCUMENTS
from howfar.measures.tables import Row, table
from howfar.measures.token_classes import class_names, classes_of_tokens
from howfar.positions import movable, override
from howfar.positions.arguments import CACHE_NAME
from howfar.positions.mode import evaluation_mode
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.windows import Window

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Array = NDArray[np.float64]

CHANGES = ("closed", "widened")
"""Closed: an increment of 0. Widened: greater by the layer's mean, which is 1 in a plain model."""
ESTIMATES = ("value", "null", "beyond_null")
NUM_SPLITS = 200  # random splits of the documents into halves


@dataclass(frozen=True)
class TextGap:
    """A gap of a text."""

    document: int
    kind: int  # class of the token after the gap
    context: NDArray[np.int64]  # the document mark and the tokens up to the one after the gap, `[token]`
    following: NDArray[np.int64]  # the text's next tokens, `[horizon]`


def sensitivity(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    layers: Sequence[int] | None = None,
    horizon: int = 16,
    context: int = 96,
    num_documents: int = 48,
    num_gaps: int = 2,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure how the loss of the next tokens changes when one gap is closed or widened.

    Args:
        layers: Decoder layers whose gaps are changed one layer at a time; None for all. Time grows with their number.
        horizon: Number of tokens after the gap's own token whose loss counts.
        context: Number of tokens before them, at most half of a window.
        num_gaps: Gaps of each class in each document, at random places.

    Returns:
        First, for each `change`, the `split-half reliability` of the rows below it: the correlation over cells of layer
        and class between random halves of the documents, for all documents (Spearman-Brown), with the range of 95% of
        the splits. Then `change of the loss`: one row per change, layer (null: all layers at once) and class of the
        token after the gap. `value` is the change for the text's next tokens, `null` for the model's own samples,
        `beyond_null` the difference, in nats per token, each with its 95% interval over `n` documents. Classes in
        fewer than 10 documents are left out; `note` says why a number is missing.

    Raises:
        NotMeasurableError: There are too few documents, they are too short, or increments are not accumulated.
        ConfigError: A layer has no rotary positions, or none is named.
        UnsupportedModelError: The model has no rotary positions.
    """
    with movable(model) as increments:
        check_accumulates(increments)
        check_movable_alone(increments)
        reader = Reader(model, tokenizer, context=window_length(model))
        windows = sample_windows(reader, texts, num_documents=num_documents, seed=seed)
        size = min(context, reader.context // 2)
        gaps = _gaps(reader, windows, size, horizon, num_gaps, np.random.default_rng(seed))
        chosen = chosen_layers(increments, layers)
        each = [*((layer,) for layer in chosen), increments.layer_indices]
        changes = _read(reader, each, gaps, batch_size, seed, progress)
    documents, kinds = (np.array([getattr(gap, name) for gap in gaps]) for name in ("document", "kind"))
    names = class_names(reader.tokenizer, "text")
    rows = [_reliability(change, changes[0, index], documents, kinds, seed) for index, change in enumerate(CHANGES)]
    for kind in np.unique(kinds):
        mine = kinds == kind
        by_document = [statistics.mean(part[..., mine], documents[mine], seed=seed) for part in changes]
        beyond = statistics.mean((changes[0] - changes[1])[..., mine], documents[mine], seed=seed)
        for index, change in enumerate(CHANGES):
            for number, layer in enumerate((*chosen, None)):
                row = {"quantity": "change of the loss", "change": change, "layer": layer, "class": names[kind]}
                row |= {"n": len(np.unique(documents[mine])), "gaps": int(mine.sum())}
                for name, part in zip(ESTIMATES, (*by_document, beyond), strict=True):
                    row |= part[index, number].row(name)
                rows.append(row)
    numbers = " ".join(column for name in ESTIMATES for column in statistics.columns_of(name))
    return table(rows, (str, "quantity change"), (int, "layer"), (str, "class"), (float, numbers), (int, "n gaps"))


def _gaps(
    reader: Reader,
    windows: Sequence[Window],
    size: int,
    horizon: int,
    num_gaps: int,
    generator: np.random.Generator,
) -> list[TextGap]:
    """Gaps of each class in each document, for classes that enough documents have."""
    found = []
    for number, (window, classes) in enumerate(zip(windows, classes_of_tokens(reader.tokenizer, windows), strict=True)):
        inner = np.arange(size - 1, len(window.tokens) - horizon)
        for kind in np.unique(classes[inner]):
            members = inner[classes[inner] == kind]
            for gap in generator.permutation(members)[:num_gaps]:
                before = window.tokens[gap - size + 2 : gap + 1]
                following = window.tokens[gap + 1 : gap + 1 + horizon]
                found.append(TextGap(number, int(kind), np.append(reader.mark, before), following))
    carriers = Counter(kind for kind, _ in {(one.kind, one.document) for one in found})
    kept = [one for one in found if carriers[one.kind] >= MIN_DOCUMENTS]
    if not kept and size + horizon >= reader.context:
        raise NotMeasurableError(
            f"windows of {reader.context} tokens have little room for {size} tokens before a gap and {horizon} after; "
            "use a model with longer windows"
        )
    if not kept:
        raise NotMeasurableError(
            f"no class of tokens has {size} tokens before it and {horizon} after it in {MIN_DOCUMENTS} documents; "
            "give longer documents, or more"
        )
    return kept


@torch.inference_mode()
def _read(
    reader: Reader,
    layers: Sequence[tuple[int, ...]],
    gaps: Sequence[TextGap],
    batch_size: int,
    seed: int,
    progress: Progress | None,
) -> Array:
    """Changes of the loss `[text or samples, change, which layers, gap]`, in nats per token."""
    parts, generator = [], np.random.default_rng(seed)
    for group in followed(in_batches(gaps, batch_size), progress, len(gaps), len):
        context = np.stack([gap.context for gap in group])
        text = np.stack([gap.following for gap in group])
        samples = _sample(reader, context, generator.random(text.shape))
        parts.append(np.stack([_changes(reader, context, following, layers) for following in (text, samples)]))
    return np.concatenate(parts, axis=-1)


def _sample(reader: Reader, context: NDArray[np.int64], uniform: Array) -> NDArray[np.int64]:
    """Continuations sampled from the model's whole distribution, the end of a document included; `[gap, token]`.

    Not by `generate`, which follows the temperature and the other habits in a model's `generation_config`.

    Args:
        context: The tokens before, `[gap, token]`.
        uniform: Random numbers from 0 to 1, `[gap, token]`: the place of each token in the cumulative distribution. It
            does not depend on the batch.
    """
    step, cache, sampled = torch.from_numpy(context), None, []
    with evaluation_mode(reader.model):
        for place in torch.from_numpy(uniform).T[..., None]:
            output = reader.model(input_ids=step.to(reader.device), use_cache=True, **{CACHE_NAME: cache})
            cache = output[CACHE_NAME]
            cumulative = output.logits[:, -1].double().cpu().softmax(dim=-1).cumsum(dim=-1)
            step = torch.searchsorted(cumulative, place * cumulative[:, -1:], right=True)
            sampled.append(step)
    return torch.cat(sampled, dim=1).numpy()


def _changes(
    reader: Reader, context: NDArray[np.int64], following: NDArray[np.int64], layers: Sequence[Sequence[int]]
) -> Array:
    """The change of the mean loss of the following tokens, `[change, layer, gap]`."""
    windows = [Window(number, row) for number, row in enumerate(np.concatenate((context, following), axis=1))]
    gap = context.shape[1] - 1

    def losses() -> Array:
        surprisal = reader.read_together(windows, "losses").surprisal_nats
        return surprisal[:, gap + 1 :].double().mean(dim=1).cpu().numpy()

    step = gap - reader.lag
    untouched, found = losses(), np.zeros((len(CHANGES), len(layers), len(windows)))
    for index, change in enumerate(CHANGES):
        for row, chosen in enumerate(layers):

            def edit(layer: int, own: Tensor, chosen: Sequence[int] = chosen, change: str = change) -> Tensor:
                if layer not in chosen:
                    return own
                edited = own.clone()
                edited[..., step] = 0 if change == "closed" else own[..., step] + own[..., 1 : gap + 1].mean(dim=-1)
                return edited

            with override(reader.model, edit):
                found[index, row] = losses() - untouched
    return found


def _reliability(change: str, changes: Array, documents: NDArray[np.int64], kinds: NDArray[np.int64], seed: int) -> Row:
    """Correlate the cells of one half of the documents with those of the other half."""
    row: Row = {"quantity": "split-half reliability", "change": change, "n": len(np.unique(documents))}
    generator, found = np.random.default_rng(seed), []
    for _ in range(NUM_SPLITS):
        first = generator.permutation(documents.max() + 1)[documents] % 2 == 0
        cells = [
            [changes[:, half & (kinds == kind)].mean(axis=1) for half in (first, ~first)]
            for kind in np.unique(kinds)
            if (first & (kinds == kind)).any() and (~first & (kinds == kind)).any()
        ]
        one, other = np.concatenate(cells, axis=1) if cells else np.zeros((2, 0))
        if one.std() > 0 and other.std() > 0:
            half = np.corrcoef(one, other)[0, 1]
            found.append(2 * half / (1 + half) if half > 0 else half)  # for all documents, not for a half
    if len(found) < NUM_SPLITS // 2:
        return row | {"note": "not measurable: the cells do not differ"}
    low, value, high = np.quantile(found, (0.025, 0.5, 0.975))
    return row | {"value": float(value), "low": float(low), "high": float(high)}


MEASURE = Measure(
    name="sensitivity",
    question="How does the loss of the next tokens change when one gap is closed or widened?",
    run=of_texts(sensitivity, "num_documents"),
    value="change of the loss, nats per token; or the reliability named in its row",
    counts="documents",
    takes=("layers",),
    sample="documents",
    columns=(
        *("quantity", "change", "layer", "class", "value [low, high]", "null [null_low, null_high]"),
        *("beyond_null [beyond_null_low, beyond_null_high]", "n"),
    ),
    matrix=Matrix(rows=("quantity", "change", "class"), columns=("layer",)),
    not_over_cases=("split-half reliability",),
    of_plain=True,
)

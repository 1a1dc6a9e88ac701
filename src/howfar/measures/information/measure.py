"""What do increments know of grammar, names and code, beyond which tokens stand there?

A step that is longer before verbs may only be longer before the words that happen to be verbs. So what an increment
says of a label counts only where the word itself, the word before it and the entropy of the prediction do not say it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import spread_documents
from howfar.measures.information.estimation import Controls, gains, known_without, permutation_test
from howfar.measures.information.items import Items, items_of_code, items_of_words
from howfar.measures.inputs import Inputs
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.progress import Progress
from howfar.text.segmentation import Segmentation
from howfar.text.tokenizer import is_byte_tokenizer

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_ITEMS = 20_000
MOST_FILES = 256
NUM_PERMUTATIONS = 499
FEWEST = 50
"""Cases of the second most frequent class, fewer of which say nothing of a label."""


def information(
    model: PreTrainedModel,
    texts: Iterable[Segmentation] | Sequence[str],
    *,
    code: bool = False,
    tokenizer: PreTrainedTokenizerBase | None = None,
    max_items: int = MAX_ITEMS,
    num_permutations: int = NUM_PERMUTATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure what increments say of the labels of words, or of the classes of bytes of source code.

    Args:
        model: A model with increments.
        texts: Sentences from `read_conllu`; with `code`, source files.
        code: Whether the labels are classes of code, of a model that reads bytes.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        max_items: Take sentences until there are so many words; of source files, their beginnings.
        num_permutations: Exchanges of increments within each word, for the p-values.
        seed: Of the exchanges and of the intervals.
        progress: Called with how many words (or files) are read and how many are wanted.

    Returns:
        One row for each `label`, place (`scored_at`), layer and head. `value` is the mutual information of increment
        and label given the word, the word before it and the entropy of the prediction (of the byte and the byte before
        it, in code), in bits per token: how much cheaper labels are, by models that were fitted to other documents,
        than with increments exchanged within each word. It is a lower bound, and about 0 where there is nothing. `low`
        and `high` bound the 95% interval (bootstrap-t over `n` documents). `p_together` is the p-value of a permutation
        within words that holds for all layers, places and labels. `known_bits` is what a label costs without
        increments, `num_tokens` how many have the label. `note` says why there is no number.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: No label has two classes with enough cases, or there are too few documents.
        ConfigError: There are no labels, or code is asked about of a model that does not read bytes.
    """
    config = increments_of(model).config
    tokenizer = tokenizer or tokenizer_of(model)
    if code:
        if not is_byte_tokenizer(tokenizer):
            raise ConfigError("classes of code are those of bytes; give a model that reads bytes, or labels in CoNLL-U")
        documents = spread_documents(list(texts), num_documents=MOST_FILES)  # type: ignore[arg-type]
        files = [document.text for document in documents if document.text]
        items = items_of_code(model, files, tokenizer, max_items=max_items, progress=progress)
    else:
        sentences = _with_labels(texts)  # type: ignore[arg-type]
        items = items_of_words(model, sentences, tokenizer, max_items=max_items, progress=progress)
    layers: list[int | None] = [None] if config.scope == "shared" else list(increments_of(model).layer_indices)
    return _table(list(_rows(items, layers, num_permutations, seed)), items)


def _with_labels(sentences: Iterable[Segmentation]) -> Iterable[Segmentation]:
    for sentence in sentences:
        if not sentence.tokens:
            raise ConfigError(
                f"the words of {sentence.text[:20]!r} have no labels; give a segmentation in CoNLL-U (.conllu)"
            )
        yield sentence


def _rows(items: Items, layers: Sequence[int | None], num_permutations: int, seed: int) -> Iterable[dict[str, Any]]:
    refused = {label: note for label in items.labels if (note := _lacking(items, label))}
    usable = [label for label in items.labels if label not in refused]
    if not usable:
        reasons = "; ".join(refused.values()) or "no word has a label"
        raise NotMeasurableError(f"{reasons}; give text whose words have labels of several classes")
    cells = [
        ({"scored_at": name, "layer": layer, "head": head}, items.increments[place, index, head])
        for place, name in enumerate(items.places)
        for index, layer in enumerate(layers)
        for head in range(items.increments.shape[2])
    ]
    controls = Controls(items.identity, items.previous, items.entropy, items.documents)
    curves = [controls.cleared(increments) for _, increments in cells]
    left = [number for number, found in enumerate(curves) if found is not None]
    chosen = {label: items.labels[label] >= 0 for label in usable}
    known = {
        label: known_without(
            *(items.labels[label][own], items.identity[own], items.previous[own]),
            entropy=items.entropy[own],
            documents=items.documents[own],
        )
        for label, own in chosen.items()
    }
    residuals = [_spread(known[label].residuals, own) for label, own in chosen.items()]
    p_values = np.ones((len(cells), len(usable)))
    if left:
        found = [own for own in curves if own is not None]
        p_values[left] = permutation_test(
            found, residuals, items.identity, num_permutations=num_permutations, seed=seed
        )
    for column, label in enumerate(usable):
        own, model = chosen[label], known[label]
        common = {"label": label, "num_tokens": int(own.sum()), "known_bits": float(model.bits.mean())}
        for number, (place, _) in enumerate(cells):
            curve = curves[number]
            if curve is None:
                note = "not measurable: the increment is a function of the tokens that stand there"
                yield common | place | {"note": note}
                continue
            estimate = statistics.mean(gains(model, curve[own], seed), items.documents[own], seed=seed)
            numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
            yield (
                common
                | place
                | {name: None if math.isnan(value) else float(value) for name, value in numbers.items()}
                | {"p_together": float(p_values[number, column]), "n": estimate.num_documents}
            )
    for label, note in refused.items():
        yield {"label": label, "note": f"not measurable: {note}"}


def _lacking(items: Items, label: str) -> str | None:
    """Why a label cannot be measured; None where it can."""
    numbers = items.labels[label]
    counts = np.sort(np.bincount(numbers[numbers >= 0], minlength=2))[::-1]
    num_documents = len(np.unique(items.documents[numbers >= 0]))
    if num_documents < statistics.MIN_DOCUMENTS:
        return f"{num_documents} documents with the label {label!r} are too few ({statistics.MIN_DOCUMENTS} are needed)"
    if counts[1] == 0:
        return f"all {counts[0]:,} tokens with the label {label!r} are {items.classes[label][0]!r}"
    if counts[1] < FEWEST:
        return f"all but {int(counts[1:].sum())} tokens have the same {label!r} ({FEWEST} are needed)"
    return None


def _spread(residuals: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """For all items, 0 where one has no such label."""
    spread = np.zeros((len(chosen), residuals.shape[1]))
    spread[chosen] = residuals
    return spread


def _table(rows: Sequence[dict[str, Any]], items: Items) -> pl.DataFrame:
    import polars as pl

    schema: dict[str, Any] = dict.fromkeys(("label", "scored_at"), pl.String)
    schema |= dict.fromkeys(("layer", "head"), pl.Int64)
    schema |= dict.fromkeys(("value", "low", "high", "p_together", "known_bits"), pl.Float64)
    schema |= dict.fromkeys(("num_tokens", "n"), pl.Int64) | {"note": pl.String}
    left_out = f"{items.num_left_out} words of several parts, or inside tokens of the model, left out"
    common = {"note": left_out} if items.num_left_out else {}
    return pl.DataFrame([common | row for row in rows], schema=schema)


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    code = inputs.classes == "code"
    texts: Any = inputs.texts if code else inputs.gold
    if texts is None or (code and inputs.gold is not None) or (inputs.texts is not None and not code):
        raise ConfigError(
            "information is of labelled words or of source code; give --gold FILE.conllu, or --text FILE --classes code"
        )
    options: dict[str, Any] = {"code": code, "seed": inputs.seed, "progress": progress}
    return information(model, texts, **options, **inputs.sized("max_items"))


MEASURE = Measure(
    name="information",
    question="What do increments say of grammar, names or code, beyond which tokens stand there?",
    run=_run,
    value="information, bits per token",
    counts="documents",
    columns=("label", "scored_at", "layer", "head", "value [low, high]", "p_together", "known_bits", "num_tokens", "n"),
    matrix=Matrix(rows=("label", "scored_at")),
    needs=("gold|texts",),
    takes=("classes",),
    sample="tokens",
)

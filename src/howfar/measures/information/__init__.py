"""What do increments tell about grammar, names and code, beyond the identity of the tokens?

A step that is longer before verbs may only be longer before the words that happen to be verbs. So the information that
an increment has about a label is conditional on the word, the word before it and the entropy of the prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures import statistics
from howfar.measures.choices import Classes
from howfar.measures.declaration import Matrix, Measure
from howfar.measures.documents import documents_of
from howfar.measures.information.estimation import Controls, dependence_test, fit_baseline, gains
from howfar.measures.information.items import Items, items_of_code, items_of_words
from howfar.measures.inputs import Inputs
from howfar.measures.layers import check_accumulates, layer_names
from howfar.measures.tables import Row, places_of, table
from howfar.measures.token_classes import class_names
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of
from howfar.progress import Progress
from howfar.text.segmentation import Segmentation

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_ITEMS = 20_000
MOST_FILES = 256
NUM_PERMUTATIONS = 499
MIN_MINORITY = 50
"""A label is measured if its second most frequent class has at least this many items."""


def information(
    model: PreTrainedModel,
    texts: Iterable[Segmentation] | Sequence[str],
    *,
    classes: Classes = "text",
    tokenizer: PreTrainedTokenizerBase | None = None,
    max_items: int = MAX_ITEMS,
    num_draws: int = NUM_PERMUTATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure the information of increments about the labels of words, or about classes of bytes of source code.

    Args:
        texts: Sentences with labels, from `read_conllu`; or source files, with the classes `"code"`.
        classes: `"text"` for the labels of words, or `"code"` for classes of bytes of source code, which needs a model
            that reads bytes.
        max_items: Sentences are read until there are this many words; of code, the beginning of each file is read.
        num_draws: Permutations, and draws of signs, for the p-values.

    Returns:
        One row for each `label`, place (`scored_at`), layer and head. `value` is the conditional mutual information of
        increment and label in bits per token, given the word, the word before it and the entropy of the prediction (in
        code: the byte, the byte before it and the entropy). It is the cross-fitted difference between the label's
        cross-entropy with increments that are permuted within each word, and with the true ones: a lower bound, about
        0 if there is no information. `low` and `high` bound the 95% interval (bootstrap-t over `n` documents).
        `p_together` is the larger p-value of two tests, by permutations within words and by random signs of documents,
        corrected for all layers, places and labels.
        `known_bits` is the label's cross-entropy without increments, `num_tokens` how many words have the label. `note`
        says why a number is missing.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: No label has two classes with enough items, there are too few documents, or increments are
            not summed.
        ConfigError: The texts have no labels, or the classes are unknown, or are those of code but the model does
            not read bytes.
    """
    increments = increments_of(model)
    check_accumulates(increments)
    tokenizer = tokenizer or tokenizer_of(model)
    class_names(tokenizer, classes)  # refuses what does not exist
    if classes == "code":
        documents = documents_of(texts, num_documents=MOST_FILES)  # type: ignore[arg-type]
        files = [document.text for document in documents if document.text]
        items = items_of_code(model, files, tokenizer, max_items=max_items, progress=progress)
    else:
        sentences = _with_labels(texts)
        items = items_of_words(model, sentences, tokenizer, max_items=max_items, progress=progress)
    left_out = f"{items.num_left_out} multiword tokens, or words that share a token with others, are left out"
    common = {"note": left_out} if items.num_left_out else {}
    return table(
        (common | row for row in _rows(items, layer_names(increments), num_draws, seed)),
        *((str, "label scored_at"), (int, "layer head"), (float, "value low high p_together known_bits")),
        (int, "num_tokens n"),
    )


def _with_labels(sentences: Iterable[Segmentation] | Sequence[str]) -> Iterable[Segmentation]:
    for sentence in sentences:
        if isinstance(sentence, str) or not sentence.tokens:
            text = sentence if isinstance(sentence, str) else sentence.text
            raise ConfigError(f"the words of {text[:20]!r} have no labels; give sentences in CoNLL-U (.conllu)")
        yield sentence


def _rows(items: Items, layers: Sequence[int | None], num_draws: int, seed: int) -> Iterator[Row]:
    if not len(items) and items.num_left_out:
        raise NotMeasurableError(
            f"each of {items.num_left_out} words after the first is a multiword token or shares a token of the model "
            "with another word; give other text, or a model with shorter tokens"
        )
    refused = {label: reason for label in items.labels if (reason := _why_not(items, label))}
    labelled = {label: numbers >= 0 for label, numbers in items.labels.items() if label not in refused}
    baselines = {}
    for label, mask in labelled.items():
        try:
            baselines[label] = fit_baseline(
                *(items.labels[label][mask], items.identity[mask], items.previous[mask]),
                entropy=items.entropy[mask],
                documents=items.documents[mask],
            )
        except NotMeasurableError as error:  # the documents left to fit to are all of one class
            refused[label] = f"without some documents, {error}"
    usable = list(baselines)
    if not usable:
        reasons = "; ".join(refused.values()) or "no word has a label"
        raise NotMeasurableError(
            f"{reasons}; give text in at least {statistics.MIN_DOCUMENTS} documents, with labels of several classes"
        )
    cells = [
        ({"scored_at": name} | place, increments[index])
        for name, increments in zip(items.places, items.increments, strict=True)
        for index, place in places_of(layers, increments.shape[1])
    ]
    controls = Controls(items.identity, items.previous, items.entropy, items.documents)
    curves = [controls.residual_curves(increments) for _, increments in cells]
    measurable = {number: of_cell for number, of_cell in enumerate(curves) if of_cell is not None}
    residuals = []
    for label, baseline in baselines.items():
        residuals.append(np.zeros((len(items), baseline.residuals.shape[1])))
        residuals[-1][labelled[label]] = baseline.residuals  # 0 for an item without the label
    p_values = np.ones((len(cells), len(usable)))
    if measurable:
        p_values[list(measurable)] = dependence_test(
            *(list(measurable.values()), residuals, items.identity, items.documents), num_draws=num_draws, seed=seed
        )
    for column, label in enumerate(usable):
        mask, baseline = labelled[label], baselines[label]
        common = {"label": label, "num_tokens": int(mask.sum()), "known_bits": float(baseline.bits.mean())}
        for number, (place, _) in enumerate(cells):
            if number not in measurable:
                of_layer = "" if place["layer"] is None else f" of layer {place['layer']}"
                yield common | place | {"note": f"not measurable: the increment{of_layer} is a function of the tokens"}
                continue
            saved = gains(baseline, measurable[number][mask], seed)
            estimate = statistics.mean(saved, items.documents[mask], seed=seed)
            tested = {"p_together": float(p_values[number, column]), "n": estimate.num_documents}
            yield common | place | estimate.row() | tested
    for label, reason in refused.items():
        yield {"label": label, "note": f"not measurable: {reason}"}


def _why_not(items: Items, label: str) -> str | None:
    """Why a label cannot be measured; None where it can."""
    numbers = items.labels[label]
    counts = np.sort(np.bincount(numbers[numbers >= 0], minlength=2))[::-1]
    num_documents = len(np.unique(items.documents[numbers >= 0]))
    if num_documents < statistics.MIN_DOCUMENTS:
        return f"{num_documents} documents with the label {label!r} are too few ({statistics.MIN_DOCUMENTS} are needed)"
    if counts[1] == 0:
        return f"all {counts[0]:,} tokens with the label {label!r} are {items.classes[label][0]!r}"
    if counts[1] < MIN_MINORITY:
        return f"all but {int(counts[1:].sum())} tokens have the same {label!r} (at least {MIN_MINORITY} must differ)"
    return None


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    code = inputs.classes == "code"
    texts: Any = inputs.texts if code else inputs.gold
    if texts is None or (code and inputs.gold is not None) or (inputs.texts is not None and not code):
        raise ConfigError(
            "information needs labelled words or source code; give --gold FILE.conllu, or --text FILE --classes code"
        )
    return information(model, texts, progress=progress, **inputs.options("classes", sample="max_items"))


MEASURE = Measure(
    name="information",
    question="Do increments carry information about grammar, names or code, beyond the identity of the tokens?",
    run=_run,
    value="information, bits per token",
    counts="documents",
    columns=("label", "scored_at", "layer", "head", "value [low, high]", "p_together", "known_bits", "num_tokens", "n"),
    matrix=Matrix(rows=("label", "scored_at")),
    needs=("gold|texts",),
    takes=("classes",),
    sample="tokens",
)

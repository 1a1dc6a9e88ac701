"""Is the loss the same? Models with learned positions against plain ones that were trained on the same data.

Two models that share seed and data order form a pair. Within a pair, documents are resampled: the interval shows how
precisely the difference of these two models is known, not whether other seeds would give it. Intervals over pairs hold
for other seeds and other documents. Two one-sided tests decide whether a difference beyond the margin is excluded; the
same interval decides whether such a difference is shown. "No significant difference" is never read as "no difference".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import CheckpointError, NotMeasurableError
from howfar.inputs import public_names
from howfar.measures import statistics
from howfar.measures.declaration import Measure
from howfar.measures.documents import Document, documents_of
from howfar.measures.inputs import Inputs
from howfar.measures.tables import Row, measured, table
from howfar.models.loading import choose_mark, load, tokenizer_of
from howfar.progress import Progress
from howfar.reading.reader import Reader
from howfar.text.marks import chosen_mark
from howfar.training.checkpoints import read_record, window_length

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MARGIN = 0.0015
"""Smaller differences, in nats per byte, are considered negligible: half of the published effect, 0.0031. A margin as
large as the effect would call the effect itself negligible."""


@dataclass(frozen=True)
class Losses:
    """Losses of one model on some documents, each `[document]`."""

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.float64]
    sources: NDArray[np.str_]  # names of their sources


def neutrality(
    models: Sequence[PreTrainedModel],
    against: Mapping[str, Sequence[PreTrainedModel]],
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    margin: float = MARGIN,
    num_documents: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Compare losses, pair by pair and over all pairs; all models read windows of the same length, the shortest's.

    Args:
        models: Models with learned positions, one per seed.
        against: By name (`plain`, `parameter-matched`): as many models to compare with, in the same order.
        margin: Smaller differences, in nats per byte, are considered negligible.

    Returns:
        One row per comparison, pair (null: over all pairs) and source (`all` first), in nats per byte: both losses,
        their difference as `value` (negative where the model is better) with 95% interval over `n` cases of a `unit`
        (`documents` or `pairs`), and the conclusions that the sample allows:
        `equivalent` within the `margin`, or `beyond_margin`, each a test at 5%; `p_equivalence`; differences below
        `excluded_below` and above `excluded_above` are ruled out; `statement` says this in words. Over pairs,
        `seed_share` is the share of a single pair's variance due to its seed. `pairing` says whether training records
        show the same seed and data order; `note` why numbers are missing.

    Raises:
        NotMeasurableError: The models cannot be paired, or there are too few documents.
    """
    for name, others in against.items():
        if len(others) != len(models) or not models:
            raise NotMeasurableError(
                f"{len(models)} models cannot be paired with {len(others)} {name} ones; give as many, in the same order"
            )
    pairings = {name: list(map(check_paired, models, others)) for name, others in against.items()}
    texts = texts if isinstance(texts, Corpus | Sequence) else list(texts)
    total = texts.held_out.num_documents if isinstance(texts, Corpus) else len(texts)

    def documents() -> Iterable[Document]:  # read again for each model, so that they need not be kept
        return documents_of(texts, tokenizer, num_documents=num_documents)

    every = [*models, *(other for others in against.values() for other in others)]
    done = count()

    def read() -> None:
        if progress is not None:
            progress(next(done) + 1, len(every) * min(total, num_documents or total))

    context = min((Reader(model).longest for model in every), default=None)  # who reads farther back loses less
    losses = [_losses(model, tokenizer, documents(), context, read) for model in every]
    ours, rest = losses[: len(models)], losses[len(models) :]
    rows: list[Row] = []
    for number, name in enumerate(against):
        theirs = rest[number * len(models) : (number + 1) * len(models)]
        rows += _compare(ours, theirs, pairings[name], {"against": name, "margin": margin}, seed)
    return table(
        rows,
        *((str, "against"), (int, "pair"), (str, "source"), (float, "model baseline value low high margin")),
        *((bool, "equivalent beyond_margin"), (float, "p_equivalence excluded_below excluded_above seed_share")),
        *((int, "n"), (str, "unit"), (int, "num_bytes"), (str, "statement pairing")),
    )


def check_paired(model: PreTrainedModel, other: PreTrainedModel) -> str:
    """What the training records of two models have in common.

    Raises:
        NotMeasurableError: They were trained on other data, in another order, or for another number of steps.
    """
    records = []
    for one in (model, other):
        try:
            records.append(read_record(Path(one.name_or_path)))
        except CheckpointError:
            return "not verified: a model has no training record"
    facts = [_data_order(record) for record in records]
    for name, own in facts[0].items():
        if own != facts[1][name]:
            raise NotMeasurableError(
                f"{model.name_or_path} and {other.name_or_path} are not a pair: {name} is {own} and {facts[1][name]}; "
                "compare models of the same seed, corpus, batches and number of steps"
            )
    trainers = [record["recipe"]["trainer"] for record in records]
    changed = sorted(name for name in {*trainers[0], *trainers[1]} if trainers[0].get(name) != trainers[1].get(name))
    return "same seed, data and steps" + (f", but another {' and '.join(changed)}" if changed else "")


def _data_order(record: dict[str, Any]) -> dict[str, Any]:
    """Everything that determines which windows a model has seen, and when."""
    return {
        "seed": record["recipe"]["seed"],
        "corpus": record["corpus"].get("hash"),
        "length of windows": window_length(record),
        "windows per step": record.get("windows_per_step"),
        "step": record.get("step"),
    }


def _losses(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    documents: Iterable[Document],
    context: int | None,
    read: Callable[[], None],
) -> Losses:
    reader = Reader(model, tokenizer, context=context)
    nats, num_bytes, sources = list[float](), list[float](), list[str]()

    def tokens() -> Iterator[NDArray[np.int64]]:
        for document in documents:
            num_bytes.append(len(document.text.encode()))
            sources.append(document.source)
            yield reader.tokenize(document.text).tokens

    for of_document, _ in reader.nats_of(tokens()):
        nats.append(of_document)
        read()
    return Losses(np.array(nats), np.array(num_bytes, dtype=np.float64), np.array(sources))


def _compare(
    ours: Sequence[Losses], theirs: Sequence[Losses], pairings: Sequence[str], common: Row, seed: int
) -> list[Row]:
    rows = []
    sources = ours[0].sources
    for source in ("all", *dict.fromkeys(sources.tolist())) if len(set(sources.tolist())) > 1 else ("all",):
        chosen = np.full(len(sources), True) if source == "all" else sources == source
        estimates = []
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            model, baseline = (side.nats[chosen].sum() / side.num_bytes[chosen].sum() for side in (mine, other))
            row = common | {"pair": number, "source": source, "model": float(model), "baseline": float(baseline)}
            row |= {"value": float(model - baseline), "pairing": pairings[number]}
            try:
                estimate = statistics.ratio(mine.nats[chosen] - other.nats[chosen], mine.num_bytes[chosen], seed=seed)
            except NotMeasurableError as error:
                rows.append(row | {"note": f"not measurable: {error}"})
                continue
            estimates.append(estimate)
            rows.append(row | _within_pair(estimate, common["margin"], int(mine.num_bytes[chosen].sum())))
        over_pairs = partial(_over_pairs, estimates, common["margin"])
        rows.append(measured(common | {"pair": None, "source": source}, over_pairs))
    return rows


def _within_pair(estimate: statistics.Estimate, margin: float, num_bytes: int) -> Row:
    low, high = float(estimate.low), float(estimate.high)
    if not np.isfinite([low, high]).all():  # without an interval there is no verdict
        few = {"num_bytes": num_bytes, "n": estimate.num_documents, "unit": "documents"}
        return few | {"note": "no interval: too few documents contribute to the difference"}
    tested = statistics.equivalence_of_estimate(estimate, margin)
    return {"low": low, "high": high, "num_bytes": num_bytes} | _verdict(tested, low, high, "documents")


def _over_pairs(estimates: Sequence[statistics.Estimate], margin: float) -> Row:
    if not estimates:
        return {"note": "not measurable: no pair has enough documents"}
    found = statistics.over_seeds(estimates)
    low, high = found.interval()
    interval = {"value": found.value, "low": low, "high": high, "seed_share": found.seed_share}
    return interval | _verdict(found.equivalence(margin), low, high, "pairs")


def _verdict(tested: statistics.Equivalence, low: float, high: float, unit: str) -> Row:
    sign = "no difference shown" if low <= 0 <= high else f"{'lower' if high < 0 else 'higher'} loss"
    if tested.is_beyond:
        sign += " by more than the margin"
    return {
        "equivalent": tested.equivalent,
        "beyond_margin": tested.is_beyond,
        "p_equivalence": tested.p_value,
        "excluded_below": tested.low,
        "excluded_above": tested.high,
        "n": tested.num_units,
        "unit": unit,
        "statement": f"{sign}; {tested}",
    }


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """One pair for each model to compare with, which is on the same device and of the same type."""
    names, where = inputs.against or (), {"device": Reader(model).device, "dtype": model.dtype}
    against = {label: [load(name, **where)] for label, name in zip(public_names(names), names, strict=True)}
    mark = chosen_mark(tokenizer_of(model))
    for (other,) in against.values():
        choose_mark(other, mark)
    options = inputs.options(sample="num_documents")
    return neutrality([model], against, inputs.some_texts, progress=progress, **options)


MEASURE = Measure(
    name="neutrality",
    question="Is the loss the same as with plain positions, within a margin?",
    run=_run,
    value="difference of the loss, nats per byte",
    counts="documents, or pairs of models",
    columns=("against", "source", "value [low, high]", "equivalent", "n", "unit", "statement"),
    identity=("against", "pair", "source"),
    needs=("texts", "against"),
    sample="documents",
)

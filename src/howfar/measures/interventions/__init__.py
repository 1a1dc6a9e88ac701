"""What does a model use its increments for? Replace them, and measure the change of its loss and its attention.

Each intervention replaces a layer's increments on held-out text; the rest of the model reacts freely, including the
increments of later layers. Any change of positions may raise the loss, so there are two comparisons. A shuffle within
classes removes only what increments tell beyond a token's class; the cost of an intervention beyond it, the primary
outcome, is due to the classes. A control displaces tokens by as much at every lag, but at random places; the cost
beyond it is due to *what* the intervention removed, not to *how far* it moved the tokens. A second control moves them
by as much the opposite way, as far as the bound allows; the cost beyond it is due to the direction. A dose between 0
and 1 moves increments only a part of the way to their replacement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures import statistics
from howfar.measures.declaration import Matrix, Measure, of_texts
from howfar.measures.interventions.replacements import AT_ONE_GAP, REPLACEMENTS, SWAPPED, changed_layers
from howfar.measures.interventions.trying import ESTIMATES, Cell, Sums, estimates, try_cells
from howfar.measures.layers import check_accumulates, check_movable_alone, chosen_layers
from howfar.measures.passes import byte_lengths, in_batches, sample_windows, window_length
from howfar.measures.tables import Row, table
from howfar.measures.token_classes import classes_of_tokens
from howfar.positions import Increments, movable
from howfar.positions.bounds import bound_of
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.windows import Window, real_tokens
from howfar.reading.workers import in_order

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DOSES = (0.5, 1.0)


def interventions(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    kinds: Sequence[str] = tuple(REPLACEMENTS),
    doses: Sequence[float] = DOSES,
    layers: Sequence[int] | None = None,
    num_documents: int = 48,
    num_attention_documents: int = 16,
    batch_size: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Replace a model's increments, layer by layer and in all layers at once.

    Args:
        model: A model with rotary positions. In a plain one all increments are 1, so kinds that only exchange
            increments get a note and no number.
        kinds: Names from `REPLACEMENTS`.
        doses: Shares of the way from a layer's own increments to their replacement, above 0 and at most 1.
        layers: Decoder layers that are changed one at a time, besides all layers at once; None for all. Time grows
            with their number.
        num_attention_documents: How many documents have their attention compared too, which doubles the time; at least
            10.

    Returns:
        One row per kind, layer (null: all layers at once) and `dose`; each number has a 95% interval over `n`
        documents. `value` is the change of the loss in nats per byte (if one gap is moved, over the bytes after it).
        `beyond_shuffle` is its difference from the change by a shuffle within classes of the same dose. `control` is
        the change by the control, `beyond_control` the difference from it. `opposite` is the change where increments
        move by as much the opposite way, `beyond_opposite` the difference from it; null where the bound allows no
        such move: `opposite_share` says how much of the opposite move it allows, and below 0.9 there is no number.
        `attention_change` and `attention_control` are the total variation distances (0 to 1) between a
        head's attention before and after, averaged over the replaced layers. `moved` is the root mean square change of
        an increment, in positions. `control_mismatch` is the largest relative difference between the displacements of
        the control and of the replacement at lags of 1, 4, 16 and 64 tokens. `note` says why numbers are missing, or
        that the control does not match.

    Raises:
        UnsupportedModelError: The model has no rotary positions.
        NotMeasurableError: There are too few documents, or the model's increments are not summed.
        ConfigError: A kind or a dose is unknown or out of range, or a layer has no rotary positions.
    """
    with movable(model) as increments:
        _check(increments, kinds, doses)
        reader = Reader(model, tokenizer, context=window_length(model), batch_size=batch_size)
        windows = sample_windows(reader, texts, num_documents=num_documents, seed=seed)
        watched = windows[: max(num_attention_documents, statistics.MIN_DOCUMENTS)]
        chosen, every = chosen_layers(increments, layers), increments.layer_indices
        places = [(kind, changed_layers(kind, layer, every)) for kind in kinds for layer in chosen]
        places += [(kind, every) for kind in kinds if len(every) > 1 and kind != SWAPPED]
        cells = [Cell(*place, dose) for place in places for dose in doses]
        measurable = [cell for cell in cells if not _why_not(increments, cell)]
        needed = dict.fromkeys([*measurable, *(cell.shuffle for cell in measurable if cell.shuffle is not None)])
        groups = [(group, True) for group in in_batches(watched, batch_size)]
        groups += [(group, False) for group in in_batches(windows[len(watched) :], batch_size)]
        sums = _try(reader, groups, list(needed), bound_of(increments.config).limits, seed, progress)
        rows = []
        for cell in cells:
            in_all = len(cell.layers) > 1 and cell.kind != SWAPPED
            row: Row = {"kind": cell.kind, "layer": None if in_all else cell.layers[0]}
            row |= {"dose": cell.dose, "n": len(windows), "note": _why_not(increments, cell)}
            if cell in sums:
                row |= estimates(sums[cell], sums[cell.shuffle] if cell.shuffle else None, seed)
            rows.append(row)
    numbers = " ".join(column for name in ESTIMATES for column in statistics.columns_of(name))
    return table(
        rows,
        *((str, "kind"), (int, "layer"), (float, f"dose {numbers} moved control_mismatch opposite_share")),
        (int, "n num_bytes"),
    )


def _check(increments: Increments, kinds: Sequence[str], doses: Sequence[float]) -> None:
    unknown = [kind for kind in kinds if kind not in REPLACEMENTS]
    if unknown:
        raise ConfigError(f"there is no intervention {unknown[0]!r}; choose from {', '.join(REPLACEMENTS)}")
    if not doses or not all(0 < dose <= 1 for dose in doses):
        raise ConfigError(f"the doses are {list(doses)}; give some above 0 and at most 1")
    check_accumulates(increments)
    check_movable_alone(increments)
    if increments.config.lag:
        raise NotMeasurableError(
            "in this model an increment leads to the token after it (advance = 'after'), and interventions change the "
            "steps to tokens; take the measure sensitivity, or train with advance = 'before'"
        )


def _why_not(increments: Increments, cell: Cell) -> str | None:
    if increments.is_plain and cell.kind not in AT_ONE_GAP:
        return "not measurable: the model is plain, every increment is 1"
    if cell.kind != SWAPPED:
        return None
    if increments.config.scope == "shared":
        return "not measurable: all layers share their increments"
    return None if len(increments.layer_indices) > 1 else "not measurable: there is only one layer"


@torch.inference_mode()
def _try(
    reader: Reader,
    groups: Sequence[tuple[Sequence[Window], bool]],
    cells: Sequence[Cell],
    within: tuple[float, float],
    seed: int,
    progress: Progress | None,
) -> dict[Cell, Sums]:
    """Try each cell on each group of windows, and compare attention too in the groups that are marked for it."""
    lengths = byte_lengths(reader.tokenizer)
    means = _mean_increments(reader, [window for group, _ in groups for window in group])
    parts: dict[Cell, list[Sums]] = {cell: [] for cell in cells}
    total = sum(len(group) for group, _ in groups)

    def jobs() -> Iterator[tuple[int, tuple[Any, ...]]]:
        for group, with_attention in groups:
            classes = classes_of_tokens(reader.tokenizer, group)
            yield len(group), (group, with_attention, means, classes, cells, lengths, within, seed)

    for _, sums in followed(in_order(reader, try_cells, jobs()), progress, total, lambda result: result[0]):
        for cell in cells:
            parts[cell].append(sums[cell])
    return {
        cell: {name: np.concatenate([part[name] for part in own]) for name in own[0]} for cell, own in parts.items()
    }


def _mean_increments(reader: Reader, windows: Sequence[Window]) -> dict[int, NDArray[np.float32]]:
    """Each layer's mean increment over all tokens of the windows except the document marks; `[head, 1]`."""
    totals: dict[int, Any] = {}
    for reading in reader.read(windows, "increments"):
        real = real_tokens(reading.windows)[:, None].clone()
        real[..., 0] = False
        for layer, increments in reading.increments.items():
            totals[layer] = totals.get(layer, 0) + (increments.cpu().double() * real).sum(dim=(0, 2))
    num_tokens = sum(len(window) - 1 for window in windows)
    return {layer: (total / num_tokens).float()[:, None].numpy() for layer, total in totals.items()}


MEASURE = Measure(
    name="interventions",
    question="How does the loss change if increments are replaced, compared with a shuffle and an equal displacement?",
    run=of_texts(interventions, "num_documents"),
    value="change of the loss, nats per byte",
    counts="documents",
    takes=("layers",),
    sample="documents",
    columns=(
        *("kind", "layer", "dose", "value [low, high]", "beyond_shuffle [beyond_shuffle_low, beyond_shuffle_high]"),
        *("beyond_control [beyond_control_low, beyond_control_high]", "n"),
    ),
    matrix=Matrix(rows=("kind", "dose")),
    of_plain=True,
)

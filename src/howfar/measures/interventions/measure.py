"""What a model does with its increments: replace them, and see what becomes of its loss and its attention.

Each intervention replaces a layer's increments on held-out text and leaves the rest of the model free to react, later
layers' increments included. Any change of positions may cost something, so each stands beside a control: the layer's
own increments moved in a random direction by as much. What an intervention costs beyond its control is owed to *what*
it took away rather than to *how far* it moved the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, NotMeasurableError
from howfar.measures import statistics
from howfar.measures.interventions.replacements import AT_ONE_GAP, REPLACEMENTS, ByLayer, Untouched, moved_at_random
from howfar.measures.passes import byte_lengths, classes_of_tokens, in_batches, sample_windows, window_length
from howfar.positions import increments_of, override
from howfar.progress import Progress
from howfar.reading.reader import Kept, Reader, Reading
from howfar.reading.windows import Window, real_tokens

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SWAPPED = "swapped with next layer"
ESTIMATES = ("change", "control", "beyond_control", "attention_change", "attention_control")

Sums = dict[str, NDArray[np.float64]]
"""Sums over each window, `[window]`, by name."""


@dataclass(frozen=True)
class Cell:
    """One thing to try: a kind of replacement in some layers."""

    kind: str
    layers: tuple[int, ...]


def interventions(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    kinds: Sequence[str] = tuple(REPLACEMENTS),
    num_documents: int = 48,
    num_attention_documents: int = 16,
    batch_size: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Replace a model's increments, layer by layer and in all layers at once.

    Args:
        model: A model with increments.
        texts: A corpus, of which the held-out documents are read, or texts.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        kinds: Names from `REPLACEMENTS`.
        num_documents: Documents of which one window is read, at a random place.
        num_attention_documents: Those among them whose attention is compared, which takes twice the time; at least 10.
        batch_size: Windows at a time.
        seed: Of the windows, the shuffles and the controls.
        progress: Called with how many windows are done and how many there are.

    Returns:
        One row per kind and layer (null: all layers at once), each number with `_low` and `_high` of its 95% interval:
        `change` of the loss in nats per byte (of the bytes behind the gap where one gap is moved), the same of the
        `control`, and their difference `beyond_control`; `attention_change`, the total variation distance (0 to 1)
        between a head's attention before and after, averaged over the layers concerned, and `attention_control`.
        Further `moved`, by how much an increment changed (root mean square, in positions), and `note`, which says why
        where there are no numbers.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: There are too few documents, or the increments are not summed.
        ConfigError: There is no intervention of such a name.
    """
    import polars as pl

    _check(model, kinds)
    reader = Reader(model, tokenizer, context=window_length(model), batch_size=batch_size)
    windows = sample_windows(reader, texts, num_documents=num_documents, seed=seed)
    watched = windows[: max(num_attention_documents, statistics.MIN_DOCUMENTS)]
    layers = increments_of(model).layer_indices
    cells = [Cell(kind, (layer,)) for kind in kinds for layer in layers]
    cells += [Cell(kind, layers) for kind in kinds if len(layers) > 1 and kind != SWAPPED]
    groups = [(group, True) for group in in_batches(watched, batch_size)]
    groups += [(group, False) for group in in_batches(windows[len(watched) :], batch_size)]
    sums = _run(reader, groups, [cell for cell in cells if not _why_not(model, cell)], seed, progress)
    rows = []
    for cell in cells:
        row: dict[str, Any] = {"kind": cell.kind, "layer": cell.layers[0] if len(cell.layers) == 1 else None}
        row |= _estimates(sums[cell], seed) if cell in sums else {}
        rows.append(row | {"num_documents": len(windows), "note": _why_not(model, cell)})
    numbers = [f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")]
    schema: dict[str, Any] = {"kind": pl.String, "layer": pl.Int64} | dict.fromkeys([*numbers, "moved"], pl.Float64)
    schema |= {"num_documents": pl.Int64, "num_bytes": pl.Int64, "note": pl.String}
    return pl.DataFrame(rows, schema=schema)


def _check(model: PreTrainedModel, kinds: Sequence[str]) -> None:
    unknown = [kind for kind in kinds if kind not in REPLACEMENTS]
    if unknown:
        raise ConfigError(f"there is no intervention {unknown[0]!r}; choose from {', '.join(REPLACEMENTS)}")
    if not increments_of(model).config.accumulate:
        raise NotMeasurableError(
            "this model's increments are positions themselves (accumulate=False), so no gap can be moved; "
            "use a model that sums its increments"
        )


def _why_not(model: PreTrainedModel, cell: Cell) -> str | None:
    increments = increments_of(model)
    if cell.kind != SWAPPED:
        return None
    if increments.config.scope == "shared":
        return "not measurable: all layers share their increments"
    return None if len(increments.layer_indices) > 1 else "not measurable: there is only one layer"


@torch.inference_mode()
def _run(
    reader: Reader,
    groups: Sequence[tuple[Sequence[Window], bool]],
    cells: Sequence[Cell],
    seed: int,
    progress: Progress | None,
) -> dict[Cell, Sums]:
    """Try each cell on each group of windows; of some groups, attention is watched too."""
    lengths = byte_lengths(reader.tokenizer)
    means = _mean_increments(reader, [window for group, _ in groups for window in group])
    parts: dict[Cell, list[Sums]] = {cell: [] for cell in cells}
    done, in_all = 0, sum(len(group) for group, _ in groups)
    for group, with_attention in groups:
        generator = np.random.default_rng([seed, done])
        classes = classes_of_tokens(reader.tokenizer, group)
        untouched = _observe(reader, group, means, classes, generator, with_attention)
        for cell in cells:
            parts[cell].append(_intervene(reader, untouched, cell, lengths, generator))
        done += len(group)
        if progress is not None:
            progress(done, in_all)
    return {
        cell: {name: np.concatenate([part[name] for part in own]) for name in own[0]} for cell, own in parts.items()
    }


def _mean_increments(reader: Reader, windows: Sequence[Window]) -> ByLayer:
    """Each layer's mean over all tokens of the windows; `[head, 1]`."""
    totals: dict[int, Any] = {}
    for reading in reader.read(windows, "increments"):
        real = real_tokens(reading.windows)[:, None]
        for layer, increments in reading.increments.items():
            totals[layer] = totals.get(layer, 0) + (increments.cpu().double() * real).sum(dim=(0, 2))
    num_tokens = sum(map(len, windows))
    return {layer: (total / num_tokens).float()[:, None].to(reader.device) for layer, total in totals.items()}


def _observe(
    reader: Reader,
    windows: Sequence[Window],
    means: ByLayer,
    classes: Sequence[NDArray[np.uint8]],
    generator: np.random.Generator,
    with_attention: bool,
) -> Untouched:
    """Let the model alone with some windows."""
    reading = _read(reader, windows, "increments", with_attention=with_attention)
    real = real_tokens(windows)
    padded = np.zeros(real.shape, dtype=np.uint8)
    for row, own in enumerate(classes):
        padded[row, : len(own)] = own
    # A gap parts what stands before it from what follows: neither side may be empty.
    gaps = np.array([generator.integers(1, max(2, len(window.tokens) - 1)) for window in windows])
    return Untouched(windows, real, padded, gaps, reading.increments, means, _losses(reading), reading.attention)


def _read(reader: Reader, windows: Sequence[Window], *keep: Kept, with_attention: bool) -> Reading:
    return reader.read_together(windows, "losses", *keep, *(["attention"] if with_attention else []))


def _losses(reading: Reading) -> Tensor:
    """Of every token but the first, `[window, token but the first]`."""
    return reading.surprisal_nats[:, 1:].cpu()


def _intervene(
    reader: Reader, untouched: Untouched, cell: Cell, lengths: NDArray[np.int64], generator: np.random.Generator
) -> Sums:
    """What a replacement and its control change, summed over each window."""
    replaced = REPLACEMENTS[cell.kind](untouched, cell.layers, generator)
    control = moved_at_random(untouched, replaced, generator)
    concerned = untouched.real.clone()
    if cell.kind in AT_ONE_GAP:
        # Attention changes from the gap's own token on, and so do the predictions of the tokens after it.
        concerned &= torch.arange(concerned.shape[1]) >= torch.from_numpy(untouched.gaps)[:, None]
    scored = concerned[:, :-1] & untouched.real[:, 1:]
    with_attention = bool(untouched.attention)
    sums = {
        "bytes": _num_bytes(untouched.windows, scored, lengths),
        "queries": concerned.sum(dim=1).numpy() * with_attention,
        "squares": np.sum([_squared_moves(untouched, layer, new) for layer, new in replaced.items()], axis=0),
        "increments": len(replaced) * untouched.real.sum(dim=1).numpy(),
    }
    for name, increments in (("change", replaced), ("control", control)):
        with _replaced(reader.model, increments):
            reading = _read(reader, untouched.windows, with_attention=with_attention)
        losses = _losses(reading)
        sums[name] = ((losses - untouched.losses).double() * scored).sum(dim=1).numpy()
        sums[f"attention_{name}"] = np.zeros(len(losses))
        if with_attention:
            distances = [_total_variation(reading.attention[layer], untouched.attention[layer]) for layer in replaced]
            sums[f"attention_{name}"] = (torch.stack(distances).mean(dim=0).cpu() * concerned).sum(dim=1).numpy()
    return sums


def _replaced(model: PreTrainedModel, increments: ByLayer) -> AbstractContextManager[None]:
    return override(model, lambda layer, own: increments.get(layer, own))


def _num_bytes(windows: Sequence[Window], scored: Tensor, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of each window's scored tokens."""
    return np.array(
        [
            lengths[window.tokens[1:]][kept[: len(window.tokens) - 1]].sum()
            for window, kept in zip(windows, scored.numpy(), strict=True)
        ]
    )


def _squared_moves(untouched: Untouched, layer: int, new: Tensor) -> NDArray[np.float64]:
    squares = (new - untouched.increments[layer]).double().square().mean(dim=1).cpu()
    return np.asarray((squares * untouched.real).sum(dim=1))


def _total_variation(one: Tensor, other: Tensor) -> Tensor:
    """Between two attentions `[window, head, query, key]`, the mean over heads: `[window, query]`."""
    return (one - other).abs().sum(dim=-1).mean(dim=1).double() / 2


def _estimates(sums: Sums, seed: int) -> dict[str, float]:
    change, control = (statistics.ratio(sums[name], sums["bytes"], seed=seed) for name in ("change", "control"))
    watched = sums["queries"] > 0
    attention = (
        statistics.ratio(sums[name][watched], sums["queries"][watched], seed=seed)
        for name in ("attention_change", "attention_control")
    )
    values: dict[str, float] = {}
    for name, column in zip(ESTIMATES, (change, control, change - control, *attention), strict=True):
        values |= {name: float(column.value), f"{name}_low": float(column.low), f"{name}_high": float(column.high)}
    values["moved"] = float(np.sqrt(sums["squares"].sum() / sums["increments"].sum()))
    return values | {"num_bytes": int(sums["bytes"].sum())}

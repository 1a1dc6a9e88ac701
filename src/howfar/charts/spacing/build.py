"""From traces to the contents of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.charts.glyphs import in_line, joined, reads_right_to_left, visible
from howfar.charts.rows import Cells, Row, Scale, check_scale, rows_of
from howfar.charts.spacing.align import Alignment, Slots, align
from howfar.charts.spacing.captions import describe, findings
from howfar.charts.spacing.content import Content, Steps, Text, rounded
from howfar.charts.spacing.kinds import kind_of
from howfar.inputs import public_name, public_names

if TYPE_CHECKING:
    from howfar.reading import Trace

_LETTERS = "AB"  # names of two traces, in the names of their rows
_MOST_PARTS = 12  # listed steps of one character,
_MOST_LISTED = 20_000  # and of all characters of a picture


def content_of(
    trace: Trace,
    scale: Scale = "raw",
    *,
    beside: Trace | None = None,
    layer: int | None = None,
    head: int | None = None,
    has_words: bool = True,
) -> Content:
    """Collect the contents of a picture.

    Args:
        trace: A trace.
        scale: The scale of the picture.
        beside: The same text read by another model, or another text: aligned with the first, row below row. Rows of one
            model share the average over two texts, so that an equal step looks equal. Steps of two models that
            divide the text unlike are compared over the stretches between the ends that both have.
        layer: Show this layer alone; for a model with increments per head, one row per head.
        head: The head whose increments to show; None for the mean over heads.
        has_words: Whether to make captions and the description, which takes half of the time.

    Raises:
        ConfigError: A scale, layer or head does not exist.
        NotMeasurableError: Positions do not accumulate, or the scale would divide by 0 or less.
    """
    traces = [trace] if beside is None else [trace, beside]
    cells = [Cells.of(one) for one in traces]
    learned = [rows_of(one, layer=layer, head=head) for one in cells]
    every = learned if layer is None else [rows_of(one, head=head) for one in cells]  # also those that are not shown
    if _shares_means(traces):
        learned, every = (_with_one_mean(rows, [len(one) for one in traces]) for rows in (learned, every))
    check_scale([row for rows in (every if scale == "shared" else learned) for row in rows], scale)
    alignment = align(cells)
    slots = alignment.slots
    texts = [_text(one, places) for one, places in zip(cells, slots, strict=True)]
    rows = [Steps("plain", 0, 1.0, rounded(_at(cells[0].num_tokens, slots[0])), is_plain=True)]
    rows += _interleaved(cells, alignment, learned)
    content = Content(
        title=_title(traces, layer, head),
        captions=[],
        description="",
        noun=_shared([one.noun for one in cells], "piece"),
        unit=_shared([one.token_noun for one in cells], "token"),
        right_to_left=reads_right_to_left(trace.text),
        shared_mean=_short(float(np.mean([_short(row.mean_increment) for rows in every for row in rows]))),
        texts=texts,
        rows=rows,
        is_one_text=alignment.is_one_text,
    )
    return replace(content, captions=findings(content), description=describe(content)) if has_words else content


def _short(mean: float) -> float:
    return float(f"{mean:.5g}")


def _shared(nouns: Sequence[str], other: str) -> str:
    """The one noun of all readings, or another that fits both."""
    return nouns[0] if len(set(nouns)) == 1 else other


def _at(values: NDArray[Any], slots: Slots) -> NDArray[np.float64]:
    return np.array([0.0 if cell is None else values[cell] for cell in slots], dtype=np.float64)


def _text(cells: Cells, slots: Slots) -> Text:
    texts = ["" if cell is None else cells.texts[cell] for cell in slots]
    labels = joined([visible(text, space=" ") if text else "" for text in texts])
    codes = {slot: _code_points(texts[slot]) for slot, label in enumerate(labels) if label != texts[slot]}
    return Text(
        noun=cells.noun,
        unit=cells.token_noun,
        labels=labels,
        codes=codes,
        tokens=np.array([0 if cell is None else cells.num_tokens[cell] for cell in slots], dtype=np.int64),
        kinds=np.array([kind_of(text) if text else 0 for text in texts], dtype=np.int64),
        surprisal_nats=rounded(_at(cells.surprisal_nats, slots)),
        entropy_nats=rounded(_at(cells.entropy_nats.astype(np.float64), slots)),
    )


def _code_points(text: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in text)


def _interleaved(cells: Sequence[Cells], alignment: Alignment, learned: Sequence[list[Row]]) -> list[Steps]:
    """The rows of all readings; rows of the same name are adjacent."""
    slots = alignment.slots
    if len(cells) == 1:
        return [_steps(row, row.name, 0, cells[0], slots[0], None) for row in learned[0]]
    steps = []
    by_name = [{row.name: row for row in rows} for rows in learned]
    for row_name in dict.fromkeys(row.name for rows in learned for row in rows):
        pair = [rows.get(row_name) for rows in by_name]
        relative = [None if row is None else _relative(row, cells[i], alignment, i) for i, row in enumerate(pair)]
        for i, row in enumerate(pair):
            if row is None:
                continue
            own, other = relative[i], relative[1 - i]
            is_empty = np.array([cell is None for cell in slots[i]])
            difference = None if own is None or other is None else np.where(is_empty, np.nan, own - other)
            steps.append(_steps(row, f"{_LETTERS[i]} {row_name}", i, cells[i], slots[i], difference))
    return steps


def _shares_means(traces: Sequence[Trace]) -> bool:
    """Whether one model has read two texts; a model that changed between two readings may have kept its name."""
    one, other = traces[0], traces[-1]
    return one.text != other.text and (one.model_name, one.config) == (other.model_name, other.config)


def _with_one_mean(learned: Sequence[list[Row]], num_tokens: Sequence[int]) -> list[list[Row]]:
    """Give the rows of two texts the mean increment over both, layer by layer."""
    own = [{row.name: row.mean_increment for row in rows} for rows in learned]
    shared = {
        name: float(np.average([means[name] for means in own], weights=num_tokens)) for name in own[0].keys() & own[1]
    }
    return [[replace(row, mean_increment=shared.get(row.name, row.mean_increment)) for row in rows] for rows in learned]


def _relative(row: Row, cells: Cells, alignment: Alignment, reading: int) -> NDArray[np.float64]:
    """The step of the stretch in which each slot lies, per token and over the row's mean; NaN for no tokens."""
    unit = row.mean_increment if row.mean_increment > 0 else 1.0
    gaps, num_tokens = (
        np.bincount(alignment.stretches, _at(values, alignment.slots[reading]))
        for values in (row.gaps, cells.num_tokens)
    )
    return np.where(num_tokens > 0, gaps / np.maximum(num_tokens * unit, unit), np.nan)[alignment.stretches]


def _steps(row: Row, name: str, text: int, cells: Cells, slots: Slots, difference: NDArray[np.float64] | None) -> Steps:
    return Steps(
        name,
        text,
        _short(row.mean_increment),
        rounded(_at(row.gaps, slots)),
        difference=None if difference is None else rounded(difference),
        parts=_parts(row, cells, slots) if len(cells.trace) <= _MOST_LISTED else {},
    )


def _parts(row: Row, cells: Cells, slots: Slots) -> dict[int, list[float]]:
    """The steps that make up each gap of several tokens."""
    parts = {}
    for slot, cell in enumerate(slots):
        if cell is None or cells.num_tokens[cell] < 2:
            continue
        start, end = cells.token_spans[cell]
        steps = row.advances[start : min(end, start + _MOST_PARTS)].tolist()
        parts[slot] = [float(f"{step:.3g}") for step in steps]
    return parts


def _title(traces: Sequence[Trace], layer: int | None, head: int | None) -> str:
    models = _model_names(list(dict.fromkeys(trace.model_name for trace in traces)))
    texts = list(dict.fromkeys(trace.text for trace in traces))
    of_layer = "" if layer is None else f", layer {layer}"
    per_head = traces[0].increments.shape[1] > 1
    rows_are_heads = per_head and layer is not None and head is None
    of_head = f", head {head}" if per_head and head is not None else ", mean over heads" if per_head else ""
    if len(models) > 1:
        models = [f"{model} ({letter})" for model, letter in zip(models, _LETTERS, strict=True)]
    verb = "space" if len(models) > 1 else "spaces"
    what = "this text" if len(texts) == 1 else "two texts" if len(models) > 1 else "two texts, A and B"
    means = " (means over both)" if _shares_means(traces) else ""
    return f"How {' and '.join(models)} {verb} {what}{of_layer}{'' if rows_are_heads else of_head}{means}"


def _model_names(names: Sequence[str]) -> list[str]:
    """The models' names in the picture: the last part of a path or a Hub id; all that differs if these are equal."""
    labels = [PurePath(public_name(name)).name for name in names]
    return [in_line(label) for label in (labels if len(set(labels)) == len(names) else public_names(names))]

"""The contents of a spacing picture, before there are any pixels: the text in cells, and rows of positions.

A cell is one character to a reader: a whole grapheme cluster (an accented letter, a family emoji), or with
a subword model at least a token. A row is one layer (or head) and gives each cell's position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from howfar.charts.glyphs import visible
from howfar.errors import ConfigError, NotMeasurableError

if TYPE_CHECKING:
    from howfar.reading import Trace

Scale = Literal["layer-mean", "raw", "shared", "contrast"]

SCALES: dict[str, str] = {
    "layer-mean": "each row divided by its mean increment, so 1 is that row's average step",
    "raw": "positions as the model uses them; 1 is the step of plain rotary positions",
    "shared": "all rows divided by one number, the mean increment of all layers, so 1 is the model's average step",
    "contrast": "deviations from each row's average step, stretched until every row varies alike",
}
"""The meaning of each scale, for captions."""


@dataclass(frozen=True)
class Row:
    """One line of a picture.

    Attributes:
        name: For example `layer 3`.
        mean_increment: Over the text, in positions.
        gaps: float64 `[cell]`: distance of each cell from the one before it, the first from the document's start, in
            positions.
        advances: float64 `[token]`: distance of each token from the one before it, in positions.
    """

    name: str
    mean_increment: float
    gaps: NDArray[np.float64]
    advances: NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The text of a trace in cells.

    Attributes:
        trace: The trace.
        end_characters: int `[cell]`, the character after each cell's last.
        end_tokens: int `[cell]`, the token after each cell's last.
    """

    trace: Trace
    end_characters: NDArray[np.int64]
    end_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, trace: Trace) -> Cells:
        """Divide a trace's text where a unit of the trace and a grapheme cluster end together."""
        import regex

        clusters = {match.end() for match in regex.finditer(r"\X", trace.text)}
        ends = [(unit.end_char, unit.end_token) for unit in trace.units if unit.end_char in clusters]
        characters, tokens = np.array(ends, dtype=np.int64).reshape(-1, 2).T
        return cls(trace, characters, tokens)

    def __len__(self) -> int:
        return len(self.end_characters)

    @cached_property
    def texts(self) -> list[str]:
        """Each cell's characters."""
        return [self.trace.text[start:end] for start, end in _spans(self.end_characters)]

    @cached_property
    def labels(self) -> list[str]:
        """The drawn form of each cell."""
        return [visible(text) for text in self.texts]

    @cached_property
    def num_tokens(self) -> NDArray[np.int64]:
        """Number of tokens of each cell, which is its step with plain rotary positions."""
        return np.diff(self.end_tokens, prepend=0)

    @property
    def noun(self) -> str:
        """The word for a cell."""
        return "character" if self.token_noun == "byte" else "token"

    @property
    def token_noun(self) -> str:
        """The word for a token of the model."""
        starts, ends = self.trace.token_bytes.T
        return "byte" if bool((ends - starts == 1).all()) else "token"

    @cached_property
    def token_spans(self) -> list[tuple[int, int]]:
        """First token, and token past the last, of each cell."""
        return _spans(self.end_tokens)

    @cached_property
    def surprisal_nats(self) -> NDArray[np.float64]:
        """Surprisal of each cell given the text before it: the sum over its tokens."""
        return np.add.reduceat(self.trace.surprisal_nats, self.end_tokens - self.num_tokens, dtype=np.float64)

    @cached_property
    def entropy_nats(self) -> NDArray[np.float32]:
        """Entropy of the prediction of the next token after reading each cell."""
        return self.trace.entropy_nats[self.end_tokens - 1]


def _spans(ends: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))


def rows_of(cells: Cells, *, layer: int | None = None, head: int | None = None) -> list[Row]:
    """The rows of a trace: one per layer.

    Args:
        cells: The trace's text.
        layer: Show this layer alone. If increments are per head and `head` is None, one row per head.
        head: The head whose increments to show; None for the mean over heads.

    Raises:
        ConfigError: The layer or head does not exist.
        NotMeasurableError: Positions do not accumulate.
    """
    trace = cells.trace
    if trace.config is not None and not trace.config.accumulate:
        raise NotMeasurableError(
            "this model gives each token a position without regard to order (accumulate=False), so the text has no "
            "gaps to draw; show a model whose increments accumulate"
        )
    return [
        Row(
            name,
            float(increments.mean(dtype=np.float64)),
            np.diff(positions[cells.end_tokens - 1], prepend=0.0),
            np.diff(positions, prepend=0.0),
        )
        for name, increments, positions in _select(trace, layer, head)
    ]


def check_scale(rows: Sequence[Row], scale: Scale) -> None:
    """Refuse a scale that does not exist or that would divide by 0 or less.

    Args:
        rows: All rows of a picture.
        scale: Its scale.

    Raises:
        ConfigError: The scale does not exist.
        NotMeasurableError: A mean increment that would be a unit is not positive.
    """
    if scale not in get_args(Scale):
        raise ConfigError(f"scale is {scale!r}; it must be one of {', '.join(get_args(Scale))}")
    units = [] if scale == "raw" else [(row.name, row.mean_increment) for row in rows]
    if scale == "shared":
        units = [("all rows", sum(unit for _, unit in units) / len(units))]
    for name, unit in units:
        if unit <= 0:
            raise NotMeasurableError(
                f"the mean increment of {name} over this text is {unit:.3g}, which cannot be a unit; show the scale raw"
            )


def _select(
    trace: Trace, layer: int | None, head: int | None
) -> list[tuple[str, NDArray[np.float32], NDArray[np.float64]]]:
    """Names, increments and positions `[token]` of the requested rows."""
    check_selection(trace, layer, head)
    num_heads = trace.increments.shape[1]
    shared = trace.config is not None and trace.config.scope == "shared" and layer is None
    rows = []
    for index, number in enumerate(trace.layers):
        if (layer is not None and number != layer) or (shared and index):
            continue
        name = "all layers" if shared else f"layer {number}"
        increments, positions = trace.increments[index], trace.positions[index]
        if layer is not None and head is None and num_heads > 1:
            rows += [(f"head {i}", increments[i], positions[i]) for i in range(num_heads)]
        elif head is None:
            rows.append((name, increments.mean(axis=0), positions.mean(axis=0)))
        else:
            rows.append((name, increments[head], positions[head]))
    return rows


def check_selection(trace: Trace, layer: int | None, head: int | None) -> None:
    """Refuse a layer or head that a trace does not have.

    Raises:
        ConfigError: It does not exist.
    """
    _check("layer", layer, trace.layers)
    _check("head", head, range(trace.increments.shape[1]))


def _check(what: str, got: int | None, there: Sequence[int]) -> None:
    if got is not None and (isinstance(got, bool) or got not in there):
        choices = f"choose from {', '.join(map(str, there))}" if len(there) > 1 else f"the only {what} is {there[0]}"
        raise ConfigError(f"there is no {what} {got} with positions of its own; {choices}")

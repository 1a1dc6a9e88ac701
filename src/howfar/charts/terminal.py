"""Spacing in a terminal: characters set apart by their gaps, one line a layer; needs no file and no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from howfar.charts.rows import SCALES, Cells, Row, Scale, plain_row, rows_of

if TYPE_CHECKING:
    from howfar.reading import Trace

MOST_PANELS = 6
"""Stretches of the text that are shown, each as wide as the terminal; the picture has them all."""

COLUMNS_PER_CHARACTER = 2.0  # on average; a character of two columns takes twice that
WIDEST_GAP = 0.4  # of a line: a wider gap takes so much
_SMALLEST_ROOM = 16  # columns; in a narrower terminal lines are cut

# Styles by a gap divided by its plain one. Blue and orange can be told apart in all common forms of colour blindness.
_BOUNDS = np.array([0.5, 0.8, 1.25, 2.0])
_STYLES = ("bold #2f6fd6", "#5b9bf0", "", "#d98032", "bold #d9480f")
_LEGEND = ("half or less", "closer", "plain", "farther", "twice or more")


class TerminalView:
    """A text as its model spaces it, for Rich to print.

    Args:
        trace: What the model did with the text.
        scale: What positions are divided by, as in `howfar.spacing`.
        layer: Show this layer alone; of a model with increments per head, a line for each head.
        head: The head whose increments to show; the mean over heads where None.

    Raises:
        ConfigError: There is no such scale, layer or head.
        NotMeasurableError: The model's positions do not accumulate, or the scale would divide by 0 or less.
    """

    def __init__(
        self, trace: Trace, *, scale: Scale = "layer-mean", layer: int | None = None, head: int | None = None
    ) -> None:
        self._cells = Cells.of(trace)
        self._rows = [plain_row(self._cells), *rows_of(self._cells, scale, layer=layer, head=head)]
        self._scale = scale

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the lines out for the console's width."""
        margin = max(len(row.name) for row in self._rows) + 2
        widths = np.array([cell_len(label) for label in self._cells.labels])
        shown = 0
        for number, starts in enumerate(place(self._rows, widths, max(_SMALLEST_ROOM, options.max_width - margin))):
            if number == MOST_PANELS:
                break
            for row, columns in zip(self._rows, starts, strict=True):
                yield self._line(row, shown, columns, margin)
            yield Text()
            shown += starts.shape[1]
        if console.color_system and not console.no_color:
            styled = [part for pair in zip(_LEGEND, _STYLES, strict=True) for part in (pair, "  ")]
            yield Text.assemble(("gap before a character, against the plain one:  ", "dim"), *styled)
        yield Text(f"scale {self._scale}: {SCALES[self._scale]}", style="dim")
        if shown < len(self._cells):
            noun = self._cells.noun
            yield Text(f"the first {shown:,} of {len(self._cells):,} {noun}s; the picture has all", style="dim")

    def _line(self, row: Row, first: int, columns: NDArray[np.int64], margin: int) -> Text:
        line = Text.assemble((row.name, "dim"), no_wrap=True, overflow="crop")
        end = -margin + len(row.name)
        for cell, column in enumerate(columns.tolist(), first):
            label = self._cells.labels[cell]
            style = _STYLES[int(np.searchsorted(_BOUNDS, row.gaps[cell] / self._cells.num_tokens[cell]))]
            line.append(" " * (column - end)).append(label, style=style)
            end = column + cell_len(label)
        return line


def place(rows: Sequence[Row], widths: NDArray[np.int64], room: int) -> Iterator[NDArray[np.int64]]:
    """Give panel by panel the columns that its characters begin at, int64 `[row, cell]`.

    A character ends at the column nearest its position, or behind the one before it if that is farther.

    Args:
        rows: At least one, over the same cells.
        widths: int64 `[cell]`: columns that the characters themselves take.
        room: Columns of a panel.
    """
    gaps = np.stack([row.gaps for row in rows])
    columns_per_step = COLUMNS_PER_CHARACTER * float(widths.mean()) / max(float(np.abs(gaps).mean()), 1e-9)
    gaps = np.clip(gaps * columns_per_step, -WIDEST_GAP * room, WIDEST_GAP * room)
    first = 0
    while first < len(widths):
        wanted, end = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
        starts: list[NDArray[np.int64]] = []
        for gap, width in zip(gaps.T[first:], widths[first:].tolist(), strict=True):
            wanted = wanted + gap
            start = np.maximum(end, np.rint(wanted).astype(np.int64) - width)
            if starts and (start + width).max() > room:
                break
            starts.append(start)
            end = start + width
        yield np.stack(starts, axis=1)
        first += len(starts)

"""The spacing of a text in a terminal: characters at columns, as far apart as each layer places them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from howfar.charts.rows import SCALES, Cells, Row, Scale, plain_row, rows_of

if TYPE_CHECKING:
    from howfar.tracing import Trace

MOST_CELLS = 240
"""Characters that are shown; the picture has them all."""

_SMALLEST_PANEL = 24  # columns; a narrower terminal breaks the lines itself

# By the logarithm to base 2 of a gap divided by its plain one; the colours tell apart in all common colour blindness.
_STRETCHES = (-1.0, -0.3, 0.3, 1.0)
_STYLES = ("bold blue", "blue", "", "yellow", "bold bright_yellow")


class TerminalView:
    """Something to print with rich: each layer a line, its characters spaced as its positions are.

    Args:
        trace: What the model did with the text.
        scale: As for `howfar.spacing`.
        layer: Show this layer alone.
        head: The head whose increments to show; the mean over heads where None.

    Raises:
        ConfigError: There is no such scale, layer or head.
        NotMeasurableError: The model's positions do not accumulate, or the scale would divide by 0 or less.
    """

    def __init__(
        self, trace: Trace, *, scale: Scale = "layer-mean", layer: int | None = None, head: int | None = None
    ) -> None:
        self.cells = Cells.of(trace)
        self.scale = scale
        self.rows = [plain_row(self.cells), *rows_of(self.cells, scale, layer=layer, head=head)]
        self.num_shown = min(len(self.cells), MOST_CELLS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the lines out for the console's width."""
        names = [f"{row.name}  {row.note if index else ''}".rstrip() for index, row in enumerate(self.rows)]
        margin = max(map(cell_len, names)) + 2
        room = max(_SMALLEST_PANEL, options.max_width - margin)
        widths = np.array([max(1, cell_len(label)) for label in self.cells.labels[: self.num_shown]])
        # One column is left between the characters of the plain row.
        columns_per_step = (widths + 1).sum() / self.rows[0].gaps[: self.num_shown].sum()
        for start, stop in self._panels(widths, columns_per_step, room):
            for name, row in zip(names, self.rows, strict=True):
                columns = _columns(row.gaps[start:stop] * columns_per_step, widths[start:stop])
                line = Text(name.ljust(margin), style="dim", end="\n", no_wrap=True, overflow="crop")
                yield line.append_text(self._characters(row, start, columns))
            yield Text()
        yield from self._legend()

    def _panels(self, widths: NDArray[np.int64], columns_per_step: float, room: int) -> Iterator[tuple[int, int]]:
        """Break the text where its widest row is full."""
        start = 0
        while start < self.num_shown:
            ends = [
                _columns(row.gaps[start : self.num_shown] * columns_per_step, widths[start:]) + widths[start:]
                for row in self.rows
            ]
            fitting = int(np.searchsorted(np.max(ends, axis=0), room, side="right"))
            stop = start + max(1, fitting)
            yield start, stop
            start = stop

    def _characters(self, row: Row, start: int, columns: NDArray[np.int64]) -> Text:
        line = Text(style="not dim")
        for cell, column in enumerate(columns.tolist(), start=start):
            line.append(" " * (column - line.cell_len))
            stretch = np.log2(max(row.gaps[cell], 1e-6) / self.cells.num_tokens[cell])
            line.append(self.cells.labels[cell], style=_STYLES[int(np.searchsorted(_STRETCHES, stretch))])
        return line

    def _legend(self) -> Iterator[Text]:
        meanings = ("half or less", "closer", "plain", "wider", "twice or more")
        styled = [part for meaning, style in zip(meanings, _STYLES, strict=True) for part in ((meaning, style), "  ")]
        yield Text.assemble(("gap before a character:  ", "dim"), *styled)
        yield Text(f"scale: {self.scale}, {SCALES[self.scale]}", style="dim")
        if self.num_shown < len(self.cells):
            yield Text(
                f"the first {self.num_shown:,} of {len(self.cells):,} characters; the picture has all", style="dim"
            )


def _columns(gaps: NDArray[np.float64], widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The column of each character: where its gap puts it, or behind the one before it if that is farther.

    Args:
        gaps: `[cell]`, in columns, of which the first is left out: a line begins with its first character.
        widths: `[cell]`, columns that the characters themselves take.
    """
    wanted = np.round(np.cumsum(gaps) - gaps[0]).astype(np.int64)
    behind = np.cumsum(widths[: len(gaps)]) - widths[0 : len(gaps)]  # if all stood close together
    # A character that does not fit pushes those behind it: the largest push so far is theirs as well.
    return behind + np.maximum.accumulate(np.maximum(wanted - behind, 0))

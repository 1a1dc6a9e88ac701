"""The picture of spacing: each character at the position that each layer gives it."""

from __future__ import annotations

import unicodedata
from pathlib import PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from howfar.charts import marks
from howfar.charts.glyphs import visible
from howfar.charts.layout import Layout, lay_out
from howfar.charts.picture import Page, Picture, Sheet
from howfar.charts.rows import SCALES, Cells, Row, Scale, plain_row, rows_of
from howfar.charts.tables import picture_tables, to_csv
from howfar.charts.theme import Theme
from howfar.errors import ConfigError

if TYPE_CHECKING:
    from howfar.tracing import Trace

Colour = Literal["gap", "surprisal", "entropy"]

WIDTH = 1100
PAGE_WIDTHS = (1100, 720, 336)  # the layouts among which a web page chooses; the last one is for phones
_SMALLEST_WIDTH = 320
_SUBTITLE_CHARACTER = 6.3  # pixels that a character of the subtitle takes on average, and of the title
_TITLE_CHARACTER = 9.8


def spacing(
    trace: Trace,
    *,
    scale: Scale = "layer-mean",
    colour: Colour = "gap",
    layer: int | None = None,
    head: int | None = None,
    width: int = WIDTH,
    theme: Theme = "light",
) -> Picture:
    """Draw a text as its model spaces it.

    Each row is a layer. A character stands at its cumulative position; the coloured ruler under it reaches back to the
    character before, so its length is the gap. Threads join each character through the rows, beginning with a row where
    every token advances by 1, as in a model with plain rotary positions. A long text is wrapped into panels.

    Args:
        trace: What the model did with the text.
        scale: `"layer-mean"`: each row divided by its mean increment. `"raw"`: positions as the model uses them.
            `"shared"`: all rows divided by one number, the mean increment of all layers.
        colour: By `"gap"` (a character's gap divided by its plain one: blue is closer, orange farther), by
            `"surprisal"` (of the character, in nats) or by `"entropy"` (of the prediction after it, in nats).
        layer: Show this layer alone; of a model with increments per head, a row for each head.
        head: The head whose increments to show; the mean over heads where None.
        width: In pixels, in notebooks and in SVG, PNG and PDF files. A web page fits the reader's screen.
        theme: `"light"` or `"dark"`. A web page follows the reader's choice.

    Returns:
        A `Picture`: it displays itself in notebooks, and saves itself as HTML, SVG, PNG or PDF.

    Raises:
        ConfigError: There is no such scale, colour, layer, head or theme, or the width is too small.
        NotMeasurableError: The model's positions do not accumulate, or the scale would divide by 0 or less.
    """
    for name, got, known in (("colour", colour, Colour), ("theme", theme, Theme)):
        if got not in get_args(known):
            raise ConfigError(f"{name} is {got!r}; it must be one of {', '.join(get_args(known))}")
    if width < _SMALLEST_WIDTH:
        raise ConfigError(f"width is {width} pixels; it must be at least {_SMALLEST_WIDTH}")
    cells = Cells.of(trace)
    rows = [plain_row(cells), *rows_of(cells, scale, layer=layer, head=head)]
    right_to_left = _reads_right_to_left(trace.text)

    def layout(width: float) -> Layout:
        return lay_out(rows, cells.labels, width, right_to_left=right_to_left)

    def caption(width: float) -> dict[str, Any]:
        return _caption(cells, scale, layer, head, right_to_left, width)

    def pages() -> list[Page]:
        return [Page(width, caption(width), _sheets(cells, rows, layout(width))) for width in PAGE_WIDTHS]

    whole = layout(width)
    tables = picture_tables(cells, rows, whole, whole.panels)
    chart = marks.draw(tables, _colour(colour, cells)).properties(width=width, height=whole.height, title=caption(width))
    return Picture(
        chart,
        theme=theme,
        description=_description(cells, rows, scale),
        drawn_text="".join(cells.labels) + trace.model_name,
        pages=pages,
    )


def _sheets(cells: Cells, rows: list[Row], layout: Layout) -> list[Sheet]:
    height = layout.height / len(layout.panels)
    tables = (picture_tables(cells, rows, layout, [panel], origin=panel.top) for panel in layout.panels)
    return [Sheet(height, {name: to_csv(table) for name, table in of_panel.items()}) for of_panel in tables]


def _colour(colour: Colour, cells: Cells) -> Any:
    if colour == "gap":
        return marks.gap_colour()
    nats = cells.surprisal_nats if colour == "surprisal" else cells.entropy_nats
    titles = {"surprisal": "surprisal of the character, in nats", "entropy": "entropy of what follows, in nats"}
    return marks.nats_colour(colour, titles[colour], float(np.ceil(np.quantile(nats, 0.98))) or 1.0)


def _caption(
    cells: Cells, scale: Scale, layer: int | None, head: int | None, right_to_left: bool, width: float
) -> dict[str, Any]:
    """The title and what is needed to read the picture, wrapped to its width."""
    trace = cells.trace
    per_head = trace.increments.shape[1] > 1
    heads = "" if not per_head else f", head {head}" if head is not None else ", mean over heads" if layer is None else ""
    shown = f", layer {layer}" if layer is not None else ""
    title = f"How far apart {visible(PurePath(trace.model_name).name)} thinks these characters are{shown}{heads}"
    direction = " Positions grow from right to left." if right_to_left else ""
    sentences = (
        f"Each row is a {'head' if per_head and layer is not None and head is None else 'layer'}, the first one plain "
        f"positions, where every {cells.token_noun} counts 1. The ruler under a character reaches back to the one before "
        f"it: its length is the gap between the two, the sum of the increments of the character's {cells.token_noun}s."
        f"{direction} Threads join each character through the rows.",
        f"Scale: {scale}, {SCALES[scale]}.",
    )
    room = int(width / _SUBTITLE_CHARACTER)
    return {
        "text": wrap(title, int(width / _TITLE_CHARACTER)),
        "subtitle": [line for sentence in sentences for line in wrap(sentence, room)],
    }


def _description(cells: Cells, rows: list[Row], scale: Scale) -> str:
    """Say what is to be seen: of each row, its mean and its widest and narrowest gaps."""
    start = cells.trace.text if len(cells.trace.text) <= 60 else f"{cells.trace.text[:59]}…"
    said = [
        f"{len(cells):,} characters, {start!r}, as {PurePath(cells.trace.model_name).name} spaces them, in "
        f"{len(rows) - 1} rows below one of plain positions. Scale {scale}: {SCALES[scale]}."
    ]
    for row in rows[1:]:
        widest, narrowest = (int(find(row.gaps)) for find in (np.argmax, np.argmin))
        said.append(
            f"{row.name}, {row.note}: gaps from {row.gaps[narrowest]:.2f} (before {cells.labels[narrowest]}) "
            f"to {row.gaps[widest]:.2f} (before {cells.labels[widest]})."
        )
    return " ".join(said)


def _reads_right_to_left(text: str) -> bool:
    """Whether the first character with a direction is read from right to left."""
    directions = (unicodedata.bidirectional(character) for character in text)
    return next((direction for direction in directions if direction in ("L", "R", "AL")), "L") != "L"

"""The picture of spacing: each character at the position that each layer gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from howfar.charts import marks
from howfar.charts.captions import caption, describe, reads_right_to_left
from howfar.charts.glyphs import SPACE
from howfar.charts.layout import Layout, lay_out
from howfar.charts.marks import Colour
from howfar.charts.picture import Page, Picture, Sheet
from howfar.charts.rows import Cells, Row, Scale, plain_row, rows_of
from howfar.charts.tables import datasets
from howfar.charts.theme import Theme
from howfar.errors import ConfigError

if TYPE_CHECKING:
    import altair as alt

    from howfar.reading import Trace

WIDTH = 1100
PAGE_WIDTHS = (1100, 720, 336)  # the layouts among which a web page chooses; the last one is for phones
SMALLEST_WIDTH = 320


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
    if width < SMALLEST_WIDTH:
        raise ConfigError(f"width is {width} pixels; it must be at least {SMALLEST_WIDTH}")
    cells = Cells.of(trace)
    rows = [plain_row(cells), *rows_of(cells, scale, layer=layer, head=head)]
    right_to_left = reads_right_to_left(trace.text)

    def layout(width: float) -> Layout:
        return lay_out(rows, cells.labels, width, right_to_left=right_to_left)

    def title(width: float) -> dict[str, Any]:
        return caption(cells, scale, layer, head, width)

    def draw(*, still: bool) -> alt.LayerChart:
        whole = layout(width)
        chart = marks.draw(datasets(cells, rows, whole, whole.panels), marks.colour_by(colour, cells), still=still)
        return chart.properties(width=width, height=whole.height, title=title(width))

    return Picture(
        draw(still=False),
        still=lambda: draw(still=True),
        theme=theme,
        description=describe(cells, rows, scale),
        drawn_text="".join(label.lstrip(SPACE) for label in cells.labels) + trace.model_name,
        pages=lambda: [Page(width, title(width), _sheets(cells, rows, layout(width))) for width in PAGE_WIDTHS],
    )


def _sheets(cells: Cells, rows: list[Row], layout: Layout) -> list[Sheet]:
    height = layout.height / len(layout.panels)
    return [Sheet(height, datasets(cells, rows, layout, [panel], origin=panel.top)) for panel in layout.panels]

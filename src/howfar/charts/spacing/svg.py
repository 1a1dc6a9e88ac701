"""The spacing picture as SVG: pure functions from numbers to strings, the same as in `draw.js`.

Elements have classes, never colours, which a style sheet sets. The text of a row is one `text` element, so that it can
be selected and searched; the tiles of a row are one path per shade.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from howfar.charts.glyphs import width_in_ems
from howfar.charts.rows import Scale
from howfar.charts.spacing import geometry
from howfar.charts.spacing.colours import Colour, shades_of
from howfar.charts.spacing.content import Content, Text
from howfar.charts.spacing.elements import letters, number
from howfar.charts.spacing.geometry import BIN_HEIGHT, BIN_WIDTH, BINS
from howfar.charts.spacing.key import key, key_height
from howfar.charts.spacing.layout import Panel, lay_out
from howfar.charts.spacing.overview import overview, overview_height
from howfar.charts.spacing.scales import Line, Rows, lines_of, short
from howfar.charts.spacing.tiles import spaces, tiles


@dataclass(frozen=True)
class View:
    """How a picture is drawn.

    Attributes:
        scale: The unit of steps.
        colour: The meaning of colours.
        rows: `"auto"` folds nearly even rows into one, unless scale or colours show differences; `"all"` shows each.
    """

    scale: Scale = "layer-mean"
    colour: Colour = "gap"
    rows: Rows = "auto"

    @property
    def folds(self) -> bool:
        """Whether nearly even rows are folded: not if scale or colours show their differences."""
        return self.rows == "auto" and self.scale != "contrast" and self.colour in ("gap", "surprisal", "entropy")

    def json(self) -> dict[str, str]:
        """The view as plain values, for the script."""
        return {"scale": self.scale, "colour": self.colour, "rows": self.rows}


class Drawing:
    """A picture laid out for a width, drawn part by part.

    Args:
        content: Its data.
        view: How it is drawn.
        width: Width of the picture, in pixels.
    """

    def __init__(self, content: Content, view: View, width: float) -> None:
        self.content, self.view, self.width = content, view, width
        self.is_narrow = width < geometry.NARROW
        self.lines = lines_of(content, view.scale, fold=view.folds)
        self.shades = shades_of(content, self.lines, view.colour, view.scale)
        self.letter_widths = self._letter_widths()
        self.layout = lay_out(
            np.stack([line.drawn for line in self.lines]),
            self.letter_widths,
            content.is_pause,
            width,
            right_to_left=content.right_to_left,
            groups=self._groups(),
        )
        self.middles: list[float] = []
        self.panel_height = 0.0
        for line in self.lines:
            head = geometry.HEAD_HEIGHT if self.is_narrow else 0.0
            pitch = geometry.THIN_PITCH if line.is_folded else geometry.ROW_PITCH
            self.middles.append(self.panel_height + head + pitch / 2)
            self.panel_height += head + pitch
        self.panel_height += geometry.PANEL_SPACING
        self.header_height = key_height(self) + overview_height(self)

    def text_of(self, line: Line) -> Text:
        """The text of a row."""
        return self.content.texts[self.content.rows[line.rows[0]].text]

    def _groups(self) -> list[list[int]]:
        """The lines of each text, if one has letters and the other has words; else all lines."""
        texts = [self.content.rows[line.rows[0]].text for line in self.lines]
        if len({text.noun for text in self.content.texts}) == 1:
            return [list(range(len(texts)))]
        return [[line for line, of in enumerate(texts) if of == text] for text in sorted(set(texts))]

    def _letter_widths(self) -> NDArray[np.float64]:
        """Width of letters in pixels, `[line, slot]`; 0 for a space, and in folded rows, which have no letters."""
        of_text = [
            np.array([geometry.FONT_SIZE * width_in_ems(label) if label.strip() else 0.0 for label in text.labels])
            for text in self.content.texts
        ]
        of_line = [of_text[self.content.rows[line.rows[0]].text] * (not line.is_folded) for line in self.lines]
        return np.stack(of_line)

    def header(self) -> str:
        """The key, and for a long text the overview."""
        return key(self) + overview(self)

    def panel(self, index: int) -> str:
        """One stretch of the text in every row; its top is at 0."""
        panel = self.layout.panels[index]
        return "".join(_row(self, line, panel) for line in range(len(self.lines)))


def _row(drawing: Drawing, index: int, panel: Panel) -> str:
    line = drawing.lines[index]
    kind = "folded" if line.is_folded else "plain" if line.is_plain else "layer"
    body = _tiles(drawing, index, panel)
    if not line.is_folded:
        here = slice(panel.first, panel.stop)
        baseline = number(drawing.middles[index] + geometry.FONT_SIZE * 0.36)
        text = letters(
            drawing.text_of(line).labels[here],
            drawing.layout.letters[index, here].tolist(),
            right_to_left=drawing.content.right_to_left,
        )
        body += f'<text class="letters" y="{baseline}">{text}</text>{_broken(drawing, index, panel)}'
    return f'<g class="row {kind}">{_head(drawing, index, panel)}{body}</g>'


def _head(drawing: Drawing, index: int, panel: Panel) -> str:
    """A row's name, mean, spread and histogram: to its left, or above it in a narrow picture."""
    line, middle, margin = drawing.lines[index], drawing.middles[index], geometry.MARGIN
    text = drawing.text_of(line)
    labels = text.labels[: panel.first]  # empty in slots where only the other text has a character
    first = f"from {text.noun} {sum(map(bool, labels)) + 1:,}"
    note = first if line.is_plain and panel.first else line.note
    name, note = escape(line.name), escape(note)
    indent = 10.0 if line.is_folded else 0.0
    tip = middle - 6
    if drawing.is_narrow:
        top = middle - (geometry.THIN_TILE_HEIGHT if line.is_folded else geometry.TILE_HEIGHT) / 2 - 5
        tip = top - 4
        written = (
            f'<text class="name" x="{number(margin + indent)}" y="{number(top)}">{name}'
            f'<tspan class="note" dx="8">{note}</tspan></text>'
        )
        chart = _histogram(drawing, line, drawing.width - margin - BINS * BIN_WIDTH, top + 1)
    else:
        written = (
            f'<text class="name" x="{number(margin + indent)}" y="{number(middle - 2)}">{name}</text>'
            f'<text class="note" x="{number(margin)}" y="{number(middle + 11)}">{note}</text>'
        )
        chart = _histogram(drawing, line, geometry.GUTTER - BINS * BIN_WIDTH - 10, middle + 8)
    arrow = f'<path class="arrow" d="M{number(margin)} {number(tip - 3.5)}l6 3.5l-6 3.5z"/>' if line.is_folded else ""
    return arrow + written + chart


def _histogram(drawing: Drawing, line: Line, left: float, base: float) -> str:
    """Histogram of drawn steps, from a quarter to four times an average one."""
    if line.is_plain:
        return ""
    tokens = drawing.text_of(line).tokens
    ratios = line.drawn[tokens > 0] / tokens[tokens > 0]
    places = np.clip(np.floor((np.log2(np.maximum(ratios, 1e-3)) + 2) * BINS / 4), 0, BINS - 1).astype(int)
    counts = np.bincount(places, minlength=BINS).tolist()
    most = max(counts)
    bars = "".join(
        f"M{number(left + place * BIN_WIDTH)} {number(base)}v-{number(max(1.0, BIN_HEIGHT * count / most))}"
        f"h{number(BIN_WIDTH - 0.5)}V{number(base)}z"
        for place, count in enumerate(counts)
        if count
    )
    axis = f'<path class="axis" d="M{number(left)} {number(base)}h{number(BINS * BIN_WIDTH)}"/>'
    return f'{axis}<path class="histogram" d="{bars}"/>'


def _tiles(drawing: Drawing, index: int, panel: Panel) -> str:
    """A row's tiles, and the dots in those of spaces."""
    here = slice(panel.first, panel.stop)
    ends = drawing.layout.before[index, here], drawing.layout.end[index, here]
    low, high = np.minimum(*ends), np.maximum(*ends)
    places = zip(range(panel.first, panel.stop), low.tolist(), (high - low).tolist(), strict=True)
    drawn, line, middle = [place for place in places if place[2] > 0], drawing.lines[index], drawing.middles[index]
    dots = "" if line.is_folded else spaces(drawing.text_of(line).labels, drawn, middle)
    return tiles(drawing, index, drawn, middle) + dots


def _broken(drawing: Drawing, index: int, panel: Panel) -> str:
    """Labels with the length of steps that are longer than drawn; below the tiles where a row's name is above them."""
    layout = drawing.layout
    edge = geometry.TILE_HEIGHT / 2
    y = number(drawing.middles[index] + (edge + 10 if drawing.is_narrow else -edge - 2))
    return "".join(
        f'<text class="broken" x="{number((layout.before[index, slot] + layout.end[index, slot]) / 2)}" y="{y}">'
        f"⟵ {short(float(drawing.lines[index].drawn[slot]), 3)} ⟶</text>"
        for slot in range(panel.first, panel.stop)
        if layout.is_broken[index, slot]
    )

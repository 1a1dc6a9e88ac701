"""Spacing in a terminal: the text once, and a strip of blocks per row; needs no file and no colours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from howfar.charts.spacing.colours import SHADES, shades_of
from howfar.charts.spacing.content import Content
from howfar.charts.spacing.content import Text as SlotTexts
from howfar.charts.spacing.layout import after_pause
from howfar.charts.spacing.scales import lines_of
from howfar.charts.spacing.svg import View

MOST_PANELS = 6
"""Number of stretches of the text that are shown, each as wide as the terminal; the picture has all of it."""

_BLOCKS = "▁▂▂▃▄▅▆▇█"  # by shade, from the shortest step to the longest
_DIGITS = "123345678"  # if a terminal's encoding has no blocks
_SMALLEST_ROOM = 16  # columns; a narrower terminal cuts lines

# Blue and orange are distinguishable in all common forms of colour blindness.
_DIVERGING = ["#2f6fd6", "#2f6fd6", "#5b9bf0", "#8fb4e8", "", "#dda878", "#d98032", "#d9600f", "#d9480f"]
_RISING = ["#a9b1bd", "#a3a6c4", "#9c9bca", "#9690d0", "#8f85d6", "#887adb", "#816fe0", "#7a62e5", "#7355ea"]


class TerminalView:
    """A text as its model spaces it, for Rich to print.

    Args:
        content: The picture's data.
        view: How it is drawn.
    """

    def __init__(self, content: Content, view: View) -> None:
        self._content, self._view = content, view
        self._lines = lines_of(content, view.scale, fold=view.folds)
        self._shades = shades_of(content, self._lines, view.colour, view.scale)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the lines out for the console's width."""
        texts = self._content.texts
        names = [line.name for line in self._lines]
        name_width = max(cell_len(name) for name in names) + 2
        margin = name_width + max(len(line.note) for line in self._lines) + 2
        widths = self._widths()
        blocks = _BLOCKS if _can_be_encoded(_BLOCKS, options.encoding) else _DIGITS
        styles = _DIVERGING if self._shades.is_diverging else _RISING
        shown = 0
        room = max(_SMALLEST_ROOM, options.max_width - margin)
        for first, stop in islice(wrap(widths, room, self._content.is_pause), MOST_PANELS):
            for text in texts:
                labels = (_padded(text.labels[slot], width) for slot, width in self._places(text, first, stop, widths))
                yield _line(" " * margin + "".join(labels))
            for index, line in enumerate(self._lines):
                strip = _line(f"{line.name:<{name_width}}{line.note:<{margin - name_width}}", style="dim")
                text = texts[self._content.rows[line.rows[0]].text]
                for slot, width in self._places(text, first, stop, widths):
                    shade = int(self._shades.of[index, slot])
                    strip.append((blocks[shade] if text.tokens[slot] else " ") * width, style=styles[shade])
                yield strip
            yield Text()
            shown = stop
        for caption in self._content.captions:
            yield Text(caption)
        low, middle, high = self._shades.ends
        yield Text(
            f"{self._shades.title}: {blocks[0]} {low}   {blocks[SHADES // 2]} {middle}   {blocks[-1]} {high}",
            style="dim",
        )
        if shown < len(self._content):
            noun = self._content.noun
            yield Text(f"the first {shown:,} of {len(self._content):,} {noun}s; the picture has all", style="dim")

    def _widths(self) -> list[int]:
        """Columns of each slot: of one text read by two models, a token has those of all slots in which it lies."""
        widths: list[int] = []
        begun = [0] * len(self._content.texts)
        for slot in range(len(self._content)):
            needed = [1]
            for number, text in enumerate(self._content.texts):
                needed.append(cell_len(text.labels[slot]) - sum(widths[begun[number] : slot]))
                if text.tokens[slot] or not self._content.is_one_text:
                    begun[number] = slot + 1
            widths.append(max(needed))
        return widths

    def _places(self, text: SlotTexts, first: int, stop: int, widths: list[int]) -> Iterator[tuple[int, int]]:
        """Each place of a text in a stretch: its slot, and its columns."""
        begun = first
        for slot in range(first, stop):
            if text.tokens[slot] or not self._content.is_one_text or slot == stop - 1:
                yield slot, sum(widths[begun : slot + 1])
                begun = slot + 1


def wrap(widths: Sequence[int], room: int, is_pause: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Cut slots of these widths into stretches that fit into `room` columns, preferably after a pause.

    Yields:
        The first slot and the slot past the last.
    """
    first = 0
    while first < len(widths):
        stop, filled = first + 1, widths[first]
        while stop < len(widths) and filled + widths[stop] <= room:
            filled += widths[stop]
            stop += 1
        stop = after_pause(first, stop, is_pause)
        yield first, stop
        first = stop


def _line(text: str, style: str = "") -> Text:
    return Text.assemble((text, style), no_wrap=True, overflow="crop")


def _padded(label: str, width: int) -> str:
    """A label in so many columns; of a token that began on the line before, as much of its end as there is room for."""
    while cell_len(label) > width:
        label = label[1:]
    return label + " " * (width - cell_len(label))


def _can_be_encoded(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True

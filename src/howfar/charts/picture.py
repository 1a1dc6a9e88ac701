"""A chart that displays itself in notebooks and saves itself as a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.charts.fonts import check_fonts, refuse_embedding
from howfar.charts.theme import Theme, config
from howfar.errors import OutputError
from howfar.files import write_file

if TYPE_CHECKING:
    import altair as alt

FORMATS = ("html", "svg", "png", "pdf")
SPACE_ABOVE_SOURCE, SOURCE_LINE = 18, 15
PIXEL_DENSITY = 2.0
MOST_PIXELS = 1e8  # of a PNG file; a taller picture gets a lower density


class Picture:
    """A chart that displays itself in notebooks and saves itself as a file.

    In a notebook it displays as Altair displays charts there (`altair.renderers` sets how). `chart` is the Altair
    chart, to change or to combine with others.

    Args:
        chart: The chart, without configuration.
        theme: Its colours; a web page follows the reader's choice instead.
        description: What is to be seen, in words, for those who do not see it.
        drawn_text: The text in it that fonts may not have: characters of the user's.
    """

    def __init__(
        self,
        chart: alt.TopLevelMixin,
        *,
        theme: Theme = "light",
        description: str,
        drawn_text: str = "",
    ) -> None:
        self.theme = theme
        self.description = description
        self.drawn_text = drawn_text
        self.chart = self._configured(chart)

    def _configured(self, chart: Any) -> Any:
        return chart.properties(description=self.description).configure(**config(self.theme))

    def sign(self, *lines: str) -> None:
        """Say below the chart what it was drawn from, and what could not be drawn."""
        import altair as alt

        chart = self.chart.copy()
        title, chart.title, chart.config, chart.description = chart.title, *3 * (alt.Undefined,)
        line = alt.Chart(alt.InlineData(values=[{}])).mark_text(style="source").encode(text=alt.value(list(lines)))
        below = line.encode(x=alt.value(0), y=alt.value(0)).properties(width=1, height=SOURCE_LINE * len(lines))
        self.chart = self._configured(alt.vconcat(chart, below, spacing=SPACE_ABOVE_SOURCE, title=title))

    def save(self, path: str | Path) -> None:
        """Write the picture, whole or not at all; a file of the name is replaced.

        Args:
            path: Its ending says as what: `.html` (one file that needs no network), `.svg`, `.png` or `.pdf`.

        Raises:
            OutputError: The ending is none of these, the file cannot be written, no font on this machine has a
                character that a PNG or PDF needs, or a PDF cannot hold the font that has it.
        """
        path = Path(path)
        write_file(path, self.render(file_format(path)))

    def render(self, format: str) -> bytes:
        """Give the content of a file of one of `FORMATS`.

        Raises:
            OutputError: No font on this machine has a character that a PNG or PDF needs, or a PDF cannot hold the font.
        """
        if format == "html":
            from howfar.charts.page import html

            return html(self).encode()
        import vl_convert

        spec = self.chart.to_dict()
        if format == "svg":
            return str(vl_convert.vegalite_to_svg(spec)).encode()
        check_fonts(self.drawn_text, format)
        if format == "pdf":
            try:
                return bytes(vl_convert.vegalite_to_pdf(spec))
            except (RuntimeError, ValueError) as error:
                if "font" not in str(error):
                    raise
                raise refuse_embedding(self.drawn_text) from error
        sizes = (spec.get(side, 0) for side in ("width", "height"))
        pixels = math.prod(size if isinstance(size, int | float) else 0 for size in sizes)  # else it is by the row
        density = min(PIXEL_DENSITY, (MOST_PIXELS / max(pixels, 1.0)) ** 0.5)
        return bytes(vl_convert.vegalite_to_png(spec, scale=density))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self.chart._repr_mimebundle_(include, exclude)


def file_format(path: Path) -> str:
    """Tell a file's format by its ending.

    Raises:
        OutputError: It is none of `FORMATS`.
    """
    format = path.suffix.removeprefix(".").lower()
    if format not in FORMATS:
        raise OutputError(
            f"{str(path)!r} ends in {path.suffix!r}, which is no kind of picture; end it in "
            f"{', '.join(f'.{known}' for known in FORMATS[:-1])} or .{FORMATS[-1]}"
        )
    return format

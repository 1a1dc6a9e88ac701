"""A chart that displays itself in notebooks and saves itself as a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from howfar.charts.saving import SavedPicture, pixel_density
from howfar.charts.theme import Theme, config

SPACE_ABOVE_SOURCE, SOURCE_LINE = 18, 15


class Picture(SavedPicture):
    """A chart that displays itself in notebooks and saves itself as a file.

    In a notebook it displays as SVG, which needs no network. `chart` is the Altair chart, to change or to combine with
    others; Altair displays it by a script from the network.

    Args:
        chart: The chart, without configuration.
        description: The picture in words, for readers who do not see it.
        title: What the chart shows; empty where the page around it says so.
        subtitle: Lines below the title that say what the marks mean.
        theme: Its colours; a web page follows the reader's choice instead.
        drawn_text: Its text in the user's characters, which fonts may lack.
    """

    def __init__(
        self,
        chart: Any,
        *,
        description: str,
        title: str = "",
        subtitle: Sequence[str] = (),
        theme: Theme = "light",
        drawn_text: str = "",
    ) -> None:
        self.theme, self.description, self.drawn_text = theme, description, drawn_text
        if title:
            chart = chart.properties(title={"text": title, "subtitle": list(subtitle)})
        self.chart = self._configured(chart)

    def use(self, theme: Theme) -> None:
        """Draw in the colours of a theme."""
        self.theme, self.chart = theme, self.chart.configure(**config(theme))

    def _configured(self, chart: Any) -> Any:
        return chart.properties(description=self.description).configure(**config(self.theme))

    def sign(self, *lines: str) -> None:
        """Write below the chart what it was drawn from, and what could not be drawn."""
        import altair as alt

        chart = self.chart.copy()
        title, chart.title, chart.config, chart.description = chart.title, *3 * (alt.Undefined,)
        line = alt.Chart(alt.InlineData(values=[{}])).mark_text(style="source").encode(text=alt.value(list(lines)))
        below = line.encode(x=alt.value(0), y=alt.value(0)).properties(width=1, height=SOURCE_LINE * len(lines))
        self.chart = self._configured(alt.vconcat(chart, below, spacing=SPACE_ABOVE_SOURCE, title=title))

    def _html(self) -> str:
        from howfar.charts.page import html

        return html(self)

    def _svg(self) -> str:
        import vl_convert

        return str(vl_convert.vegalite_to_svg(self.chart.to_dict()))

    def _png(self) -> bytes:
        import vl_convert

        spec = self.chart.to_dict()
        sizes = (spec.get(side, 0) for side in ("width", "height"))
        pixels = math.prod(size if isinstance(size, int | float) else 0 for size in sizes)  # otherwise sized per row
        return bytes(vl_convert.vegalite_to_png(spec, scale=pixel_density(pixels)))

    def _pdf(self) -> bytes:
        import vl_convert

        return bytes(vl_convert.vegalite_to_pdf(self.chart.to_dict()))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": self.description, "image/svg+xml": self._svg()}

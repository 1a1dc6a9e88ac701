"""The spacing picture as an object: it displays itself in notebooks and saves itself as a file."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import cached_property
from html import escape
from textwrap import wrap
from typing import Any

from howfar.charts.glyphs import counted
from howfar.charts.rows import SCALES
from howfar.charts.saving import SavedPicture, pixel_density
from howfar.charts.spacing.content import Content
from howfar.charts.spacing.geometry import MARGIN
from howfar.charts.spacing.palette import stylesheet, variables
from howfar.charts.spacing.svg import Drawing, View
from howfar.charts.theme import Theme
from howfar.errors import OutputError

MOST_STILL = 5_000  # characters up to which a notebook also keeps still pictures
_TITLE_LINE, _CAPTION_LINE = 26.0, 19.0
_TITLE_CHARACTER, _CAPTION_CHARACTER = 10.2, 6.7  # average width of a character, in pixels


class SpacingPicture(SavedPicture):
    """A spacing picture: it displays itself in notebooks and saves itself as a file.

    Attributes:
        content: Its data.
        view: How it is drawn.
        width: In pixels, in SVG, PNG and PDF files. A page fits the reader's screen.
        theme: The colours of these files. A page follows the reader's choice.
    """

    def __init__(self, content: Content, view: View, *, width: float, theme: Theme) -> None:
        self.content, self.view, self.width, self.theme = content, view, width, theme
        self.drawn_text = content.title + "".join(label for text in content.texts for label in text.labels)

    def __repr__(self) -> str:
        content, view = self.content, self.view
        size = f"{counted(len(content), content.noun)}, {counted(len(content.rows) - 1, 'row')}"
        return f"SpacingPicture({content.title!r}, {size}, scale {view.scale!r}, colour {view.colour!r})"

    @property
    def description(self) -> str:
        """The picture in words, for readers who do not see it."""
        return f"{self.content.description} Scale {self.view.scale}: {SCALES[self.view.scale]}."

    @cached_property
    def drawing(self) -> Drawing:
        """The picture at its width."""
        return Drawing(self.content, self.view, self.width)

    @cached_property
    def svg(self) -> str:
        """The whole picture as an SVG file's content."""
        return self._drawn(self.theme)

    @property
    def element(self) -> str:
        """The whole picture as an SVG element without colours, for pages with the style sheet of `spacing.palette`."""
        return self._drawn(None)

    def _drawn(self, theme: Theme | None) -> str:
        drawing = self.drawing
        head, top = self._head()
        parts = [head, f'<g transform="translate(0 {top:g})">{drawing.header()}</g>']
        top += drawing.header_height
        for index in range(len(drawing.layout.panels)):
            parts.append(f'<g transform="translate(0 {top:g})">{drawing.panel(index)}</g>')
            top += drawing.panel_height
        size = f'width="{self.width:g}" height="{top:g}"'
        if theme is not None:
            parts.insert(0, f'<style>{stylesheet(theme)}</style><rect {size} fill="{variables(theme)["background"]}"/>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="howfar" {size} viewBox="0 0 {self.width:g} {top:g}" '
            f'xml:space="preserve" role="img" aria-label="{escape(self.description)}">'
            f"{''.join(parts)}</svg>"
        )

    def _head(self) -> tuple[str, float]:
        """Title and captions, and the height where they end."""
        top, parts = 12.0, []
        for kind, pitch, character, texts in (
            ("title", _TITLE_LINE, _TITLE_CHARACTER, [self.content.title]),
            ("caption", _CAPTION_LINE, _CAPTION_CHARACTER, self.content.captions),
        ):
            for text in texts:
                for line in wrap(text, int((self.width - 2 * MARGIN) / character)):
                    top += pitch
                    parts.append(f'<text class="{kind}" x="{MARGIN:g}" y="{top - 5:g}">{escape(line)}</text>')
        return "".join(parts), top + 12

    def _html(self) -> str:
        from howfar.charts.spacing.page import page

        return page(self)

    def _svg(self) -> str:
        return self.svg

    def _png(self) -> bytes:
        import vl_convert

        height = self.drawing.header_height + len(self.drawing.layout.panels) * self.drawing.panel_height
        return bytes(vl_convert.svg_to_png(self.svg, scale=pixel_density(self.width * height)))

    def _pdf(self) -> bytes:
        import vl_convert

        return bytes(vl_convert.svg_to_pdf(self.svg))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from howfar.charts.spacing.page import fragment

        bundle = {"text/plain": repr(self), "text/html": fragment(self)}
        if len(self.content) > MOST_STILL:
            return bundle
        bundle["image/svg+xml"] = self.svg
        with suppress(OutputError):  # a font is missing; other formats use the reader's fonts
            bundle["image/png"] = base64.b64encode(self.render("png")).decode()
        return bundle

    def _repr_html_(self) -> str:
        from howfar.charts.spacing.page import fragment

        return fragment(self)

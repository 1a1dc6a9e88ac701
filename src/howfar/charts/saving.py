"""How pictures of all kinds are written: as a page, as SVG, as pixels, as PDF."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from howfar.charts.fonts import check_fonts, refuse_embedding
from howfar.errors import OutputError
from howfar.files import write_file

FORMATS = ("html", "svg", "png", "pdf")
PIXEL_DENSITY = 2.0
MOST_PIXELS = 1e8  # of a PNG file; a taller picture gets a lower density


class SavedPicture(ABC):
    """A picture that can be written to a file.

    Attributes:
        drawn_text: The text in it that fonts may not have: characters of the user's.
    """

    drawn_text: str

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
            return self._html().encode()
        if format == "svg":
            return self._svg().encode()
        check_fonts(self.drawn_text, format)
        if format == "png":
            return self._png()
        try:
            return self._pdf()
        except (RuntimeError, ValueError) as error:
            if "font" not in str(error):
                raise
            raise refuse_embedding(self.drawn_text) from error

    @abstractmethod
    def _html(self) -> str:
        """The whole page."""

    @abstractmethod
    def _svg(self) -> str:
        """The whole SVG file."""

    @abstractmethod
    def _png(self) -> bytes:
        """The PNG file, at `pixel_density` of its size."""

    @abstractmethod
    def _pdf(self) -> bytes:
        """The PDF file."""


def pixel_density(num_pixels: float) -> float:
    """How many pixels a PNG has for each of a picture's own along a side: two, or fewer where it is large.

    Args:
        num_pixels: The picture's width times its height.
    """
    return min(PIXEL_DENSITY, float(MOST_PIXELS / max(num_pixels, 1.0)) ** 0.5)


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

"""Writing pictures of all kinds: as a page, SVG, PNG or PDF."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from howfar.charts.fonts import check_fonts, refuse_embedding
from howfar.errors import OutputError
from howfar.files import write_file

FORMATS = ("html", "svg", "png", "pdf")
PIXEL_DENSITY = 2.0
MOST_PIXELS = 1e8  # in a PNG file; a taller picture gets a lower density


class SavedPicture(ABC):
    """A picture that can be written to a file.

    Attributes:
        drawn_text: Its text in the user's characters, which fonts may lack.
    """

    drawn_text: str

    def save(self, path: str | Path) -> None:
        """Write the picture, completely or not at all; an existing file is replaced.

        Args:
            path: Its suffix sets the format: `.html` (one file that needs no network), `.svg`, `.png` or `.pdf`.

        Raises:
            OutputError: The suffix is none of these, the file cannot be written, no font on this machine has a
                character that a PNG or PDF needs, or a PDF cannot embed its font.
        """
        path = Path(path)
        write_file(path, self.render(file_format(path)))

    def render(self, format: str) -> bytes:
        """The content of a file in one of `FORMATS`.

        Raises:
            OutputError: No font here has a character that a PNG or PDF needs, or a PDF cannot embed its font.
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
    """Pixels of a PNG per pixel of the picture, along a side: two, or fewer for a large picture.

    Args:
        num_pixels: The picture's width times its height.
    """
    return min(PIXEL_DENSITY, float(MOST_PIXELS / max(num_pixels, 1.0)) ** 0.5)


def ending(path: Path) -> str:
    """What a file's name ends in, in words, for an error."""
    return f"ends in {path.suffix!r}" if path.suffix else "has no ending"


def file_format(path: Path) -> str:
    """A file's format, from its suffix.

    Raises:
        OutputError: It is none of `FORMATS`.
    """
    format = path.suffix.removeprefix(".").lower()
    if format not in FORMATS:
        raise OutputError(
            f"{str(path)!r} {ending(path)}{', which is not a picture format' if path.suffix else ''}; end it in "
            f"{', '.join(f'.{known}' for known in FORMATS[:-1])} or .{FORMATS[-1]}"
        )
    return format

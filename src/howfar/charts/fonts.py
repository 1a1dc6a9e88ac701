"""Find the characters that this machine's fonts can draw in PNG and PDF files, by drawing them.

Many fonts have emoji as bitmaps, which a PNG can show but a PDF cannot embed.

HTML and SVG files use the fonts of the machine that opens them, so they need no check.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from xml.sax.saxutils import escape, quoteattr

from howfar.charts.theme import FONT
from howfar.errors import OutputError

_NO_CHARACTER = "\U0010ffff"  # no font has it, so it is drawn like every missing character
_MOST_NAMED = 8

_REMEDIES = (
    (
        ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH"),
        "Noto Sans CJK",
        "fonts-noto-cjk",
    ),
    (("",), "the Noto fonts", "fonts-noto-core fonts-symbola"),
)
"""By the start of a character's Unicode name: a font that has it, and Debian's name for its package."""


def check_fonts(text: str, format: str) -> None:
    """Refuse to draw boxes for missing characters.

    Args:
        text: The characters to draw.
        format: The file's format, for the message.

    Raises:
        OutputError: No font on this machine has one of them; the message says which to install.
    """
    missing = missing_characters(text)
    if not missing:
        return
    name = unicodedata.name(missing[0], "")
    font, package = next((font, package) for starts, font, package in _REMEDIES if name.startswith(starts))
    raise OutputError(
        f"no font on this machine has {_named(missing)}, so a {format} would show boxes; install "
        f"{font} (Debian, Ubuntu: apt install {package}), or save .html or .svg, which use the reader's fonts"
    )


def refuse_embedding(text: str) -> OutputError:
    """The error that names the characters that keep a font out of a PDF."""
    pixels = "".join(character for character in dict.fromkeys(text) if not _can_be_embedded(character))
    font = f"the font that has {_named(pixels)}" if pixels else "one of the fonts"
    return OutputError(f"a pdf cannot hold {font} on this machine, which draws in pixels; save .png, .svg or .html")


def missing_characters(text: str) -> str:
    """The characters of a text that no font here has, each once, in order."""
    wanted = (character for character in dict.fromkeys(text) if character > "\x7f" and not _is_mark(character))
    return "".join(character for character in wanted if not _can_be_drawn(character))


def _named(characters: str) -> str:
    more = f" and {len(characters) - _MOST_NAMED:,} more" if len(characters) > _MOST_NAMED else ""
    return " ".join(characters[:_MOST_NAMED]) + more


def _is_mark(character: str) -> bool:
    """Whether a character only joins or changes others."""
    return unicodedata.category(character) in ("Mn", "Me", "Cf")


@cache
def _can_be_drawn(character: str) -> bool:
    return _drawing(character) not in (_drawing(_NO_CHARACTER), _drawing(" "))


@cache
def _can_be_embedded(character: str) -> bool:
    import vl_convert

    if unicodedata.category(character)[0] != "S":  # emoji are symbols, and asking takes 10 ms
        return True
    try:
        vl_convert.svg_to_pdf(_svg(character))
    except (RuntimeError, ValueError):
        return False
    return True


@cache
def _drawing(character: str) -> bytes:
    import vl_convert

    return bytes(vl_convert.svg_to_png(_svg(character)))


def _svg(character: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24">'
        f'<text x="4" y="18" font-size="14" font-family={quoteattr(FONT)}>{escape(character)}</text></svg>'
    )

"""What stands for a piece of text in a picture: whitespace made visible, and how wide it is drawn."""

from __future__ import annotations

import re
import unicodedata

SPACE = "␣"
WHITESPACE = {" ": SPACE, "\t": "⇥", "\n": "⏎", "\r": "⏎", "\r\n": "⏎", "\u00a0": "⍽", "\u3000": SPACE}
"""Characters that leave no ink, and what is drawn for them."""

_NARROW = frozenset("iljtfrI.,:;'|!()[]{}`\"/\\-⏎ ")
_BROAD = frozenset("mwMW@%—…")
_JOINERS = re.compile("[\u200c\u200d\U000e0020-\U000e007f]")  # and the tags that flags are spelled with
_ADDITIONS = re.compile("\u200d.|[\U0001f3fb-\U0001f3ff]")  # what turns an emoji into another one
_INVISIBLE = frozenset(("Cc", "Cf", "Zl", "Zp", "Zs", "Cs", "Cn"))


def visible(text: str) -> str:
    """Give what is drawn for a text: `␣` for a space, `⏎` for a line's end, a code point for what leaves no ink.

    Nothing that a terminal or a browser would obey is left in it. Joiners stay where they may join something.
    """
    if text in WHITESPACE:
        return WHITESPACE[text]
    return "".join(_visible_character(character, len(text) > 1) for character in text.replace("\r\n", "\n"))


def in_line(text: str) -> str:
    """Give what is drawn for a text in running text: as `visible`, but a space between other characters stays one."""
    return visible(text) if text.isspace() else " ".join(map(visible, text.split(" ")))


def _visible_character(character: str, beside_others: bool) -> str:
    if character in WHITESPACE:
        return WHITESPACE[character]
    if unicodedata.category(character) not in _INVISIBLE or (beside_others and _JOINERS.fullmatch(character)):
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"U+{ord(character):04X}"


def width_in_ems(label: str) -> float:
    """Estimate how wide a label is drawn in a proportional font, as a multiple of the font's size."""
    return max(0.33, sum(map(_character_width, _ADDITIONS.sub("", label))))


def _character_width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if character in _NARROW:
        return 0.33
    if character in _BROAD:
        return 0.88
    return 0.68 if character.isupper() else 0.56

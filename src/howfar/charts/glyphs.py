"""What stands for a piece of text in a picture: whitespace made visible, and how wide it is drawn."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache
from importlib import resources
from typing import Any

SPACE = "␣"
WHITESPACE = {" ": SPACE, "\t": "⇥", "\n": "⏎", "\r": "⏎", "\r\n": "⏎", "\u00a0": "⍽", "\u3000": SPACE}
"""Characters that leave no ink, and what is drawn for them."""

_PATTERNS: dict[str, str] = json.loads(
    resources.files("howfar.charts").joinpath("glyphs.json").read_text(encoding="utf-8")
)
"""Regular expressions that Python and JavaScript read alike, for the script of a page measures the same."""

_JOINER = "\u200d"
JOINING = {kind: rf"\p{{Joining_Type={kind}_Joining}}|\u0640" for kind in ("Dual", "Right")}
"""Letters that join those on both sides, and those that join the one before them; JavaScript has no such classes."""
_MOST_KNOWN = 10_000  # labels that are measured once
_JOINERS = re.compile("[\u200c\u200d\U000e0020-\U000e007f]")  # and the tags that flags are spelled with
_INVISIBLE = frozenset(("Cc", "Cf", "Zl", "Zp", "Zs", "Cs", "Cn"))


def visible(text: str, *, space: str = SPACE) -> str:
    """Give what is drawn for a text: `␣` for a space, `⏎` for a line's end, a code point for what leaves no ink.

    Nothing that a terminal or a browser would obey is left in it. Joiners stay where they may join something.

    Args:
        text: A character, or some.
        space: What stands for a space.
    """
    if text in WHITESPACE:
        return space if WHITESPACE[text] == SPACE else WHITESPACE[text]
    return "".join(_visible_character(character, len(text) > 1, space) for character in text.replace("\r\n", "\n"))


def in_line(text: str) -> str:
    """Give what is drawn for a text in running text: as `visible`, but a space between other characters stays one."""
    return visible(text) if text.isspace() else " ".join(map(visible, text.split(" ")))


def _visible_character(character: str, beside_others: bool, space: str) -> str:
    if character in WHITESPACE:
        return space if WHITESPACE[character] == SPACE else WHITESPACE[character]
    if unicodedata.category(character) not in _INVISIBLE or (beside_others and _JOINERS.fullmatch(character)):
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"U+{ord(character):04X}"


@lru_cache(_MOST_KNOWN)
def width_in_ems(label: str) -> float:
    """Estimate how wide a label is drawn in a proportional font, as a multiple of the font's size."""
    return max(0.33, sum(map(_character_width, _pattern("additions").sub("", label))))


@lru_cache(_MOST_KNOWN)
def is_wide(label: str) -> bool:
    """Whether a label begins with an East Asian character, which few Latin fonts have."""
    return _pattern("eastAsian").match(label) is not None


def _character_width(character: str) -> float:
    widths = (
        ("eastAsian", 1.0),
        ("emoji", 1.0),
        ("nothing", 0.0),
        ("narrow", 0.33),
        ("broad", 0.88),
        ("capital", 0.68),
    )
    return next((width for name, width in widths if _pattern(name).match(character)), 0.56)


def joined(labels: list[str]) -> list[str]:
    """Let letters that join those beside them, as in Arabic, keep the shapes that they have in their words.

    Each is drawn by itself, so what it joins is told by zero-width joiners.
    """
    import regex

    after, before = (regex.compile(pattern) for pattern in JOINING.values())
    shaped = list(labels)
    for place in range(1, len(labels)):
        left, right = labels[place - 1], labels[place]
        if left and right and after.match(left[0]) and (after.match(right[0]) or before.match(right[0])):
            shaped[place - 1] += _JOINER
            shaped[place] = _JOINER + shaped[place]
    return shaped


@cache
def _pattern(name: str) -> Any:
    import regex

    return regex.compile(_PATTERNS[name])

"""How pieces of text are drawn: whitespace made visible, numbers of things, and the width of labels."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

SPACE = "␣"
WHITESPACE = {" ": SPACE, "\t": "⇥", "\n": "⏎", "\r": "⏎", "\r\n": "⏎", "\u00a0": "⍽", "\u3000": SPACE}
"""Characters without ink, and their replacements."""

PATTERNS = {
    "eastAsian": r"[\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6"
    "\U00020000-\U0003fffd]",
    "emoji": r"\p{Emoji_Presentation}",
    "nothing": r"[\p{Mn}\p{Me}\p{Cf}]",
    "narrow": r"""[iljtfrI.,:;'|!()\[\]{}`"/\\\-⏎ ␣]""",
    "broad": r"[mwMW@%—…]",
    "capital": r"\p{Lu}",
    "turned": r"\p{Bidi_Mirrored}|[^\u200d].*[^\u200d]",
    "additions": r"\u200d.|[" "\U0001f3fb-\U0001f3ff]",
}
"""Regular expressions that Python and JavaScript read alike, since a page's script measures the same."""

WIDTHS = (("eastAsian", 1.0), ("emoji", 1.0), ("nothing", 0.0), ("narrow", 0.33), ("broad", 0.88), ("capital", 0.68))
"""Widths of characters as multiples of the font's size, by the first pattern that they match."""

_JOINER = "\u200d"
JOINING = {kind: rf"\p{{Joining_Type={kind}_Joining}}|\u0640" for kind in ("Dual", "Right")}
"""Letters that join both neighbours, and those that join the one before them; JavaScript has no such classes."""
CHARACTERS = {
    "invisible": r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Zs}\p{Cs}\p{Cn}]",
    "joiner": "[\u200c\u200d\U000e0020-\U000e007f]",  # and the tags in flags
    "directed": "[\\p{L}\\p{Nl}\u061c\u200e\u200f]",
    "fromTheRight": "[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]",
}
"""Classes of characters, as `PATTERNS`: the pages in which a model runs make labels themselves.

Python's own tables are as old as Python. Unicode keeps the last class's blocks for scripts that are read from the
right.
"""
_MOST_KNOWN = 10_000  # labels whose width is cached


def visible(text: str, *, space: str = SPACE) -> str:
    """The drawn form of a text: `␣` for a space, `⏎` for a line end, a code point for a character without ink.

    It contains nothing that a terminal or a browser would interpret. Joiners are kept where they may join something.

    Args:
        text: One or more characters.
        space: Replaces a space.
    """
    if text in WHITESPACE:
        return space if WHITESPACE[text] == SPACE else WHITESPACE[text]
    return "".join(_visible_character(character, len(text) > 1, space) for character in text.replace("\r\n", "\n"))


def counted(number: int, noun: str) -> str:
    """So many things, in the singular if there is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_line(text: str) -> str:
    """The drawn form of running text: as `visible`, but a space between other characters is kept."""
    return visible(text) if text.isspace() else " ".join(map(visible, text.split(" ")))


def _visible_character(character: str, beside_others: bool, space: str) -> str:
    if character in WHITESPACE:
        return space if WHITESPACE[character] == SPACE else WHITESPACE[character]
    if not is_a(character, "invisible") or (beside_others and is_a(character, "joiner")):
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"U+{ord(character):04X}"


@lru_cache(_MOST_KNOWN)
def width_in_ems(label: str) -> float:
    """Estimate the width of a label in a proportional font, as a multiple of the font's size."""
    return max(0.33, sum(map(_character_width, _pattern("additions").sub("", label))))


@lru_cache(_MOST_KNOWN)
def is_wide(label: str) -> bool:
    """Whether a label begins with an East Asian character, which few Latin fonts have."""
    return is_a(label, "eastAsian")


def turned(label: str) -> str:
    """A label of a text that is read from right to left: brackets mirrored, several characters in its order."""
    return f"\u2067{label}\u2069" if _pattern("turned").search(label) else label


def reads_right_to_left(text: str) -> bool:
    """Whether the first character with a direction is read from right to left."""
    first = _pattern("directed").search(text)
    return first is not None and is_a(first[0], "fromTheRight")


def is_a(character: str, name: str) -> bool:
    """Whether a character matches a pattern of `PATTERNS` or `CHARACTERS`."""
    return _pattern(name).match(character) is not None


def _character_width(character: str) -> float:
    return next((width for name, width in WIDTHS if is_a(character, name)), 0.56)


def joined(labels: list[str]) -> list[str]:
    """Keep the shapes of letters that join their neighbours, for example in Arabic.

    Each letter is drawn by itself, so zero-width joiners stand for its neighbours.
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

    return regex.compile((PATTERNS | CHARACTERS)[name])

"""Kinds of characters, for captions and for comparing steps within a kind."""

from __future__ import annotations

import unicodedata

KINDS = (
    "space",
    "line end",
    "punctuation mark",
    "digit",
    "capital letter",
    "lowercase letter",
    "Chinese character",
    "letter without case",
    "symbol",
    "token that begins with a space",
)


def kind_of(text: str) -> int:
    """The kind of a character, or of a token by its first character; an index into `KINDS`."""
    return KINDS.index(_kind(text))


def _kind(text: str) -> str:
    first = text[0]
    category = unicodedata.category(first)
    if first in "\r\n":
        return "line end"
    if first.isspace():
        return "token that begins with a space" if text.strip() else "space"
    if category[0] == "P":
        return "punctuation mark"
    if category == "Nd":
        return "digit"
    if category in ("Lu", "Lt"):
        return "capital letter"
    if category == "Ll":
        return "lowercase letter"
    if unicodedata.name(first, "").startswith("CJK "):
        return "Chinese character"
    return "letter without case" if category[0] in "LMN" else "symbol"

"""Kinds of characters, for captions and for comparing steps within a kind."""

from __future__ import annotations

from functools import cache
from typing import Any

PATTERNS = {
    "line end": r"[\r\n]",
    "space": r"[\x1c-\x1f\p{White_Space}]",
    "punctuation mark": r"\p{P}",
    "digit": r"\p{Nd}",
    "capital letter": r"[\p{Lu}\p{Lt}]",
    "lowercase letter": r"\p{Ll}",
    "Chinese character": r"\p{Script=Han}",
    "letter without case": r"[\p{L}\p{M}\p{N}]",
}
"""Regular expressions of single characters, which Python and JavaScript read alike; the first that matches counts."""

_SYMBOL, _WORD = "symbol", "token that begins with a space"
KINDS = (*PATTERNS, _SYMBOL, _WORD)


def kind_of(text: str) -> int:
    """The kind of a character, or of a token by its first character; an index into `KINDS`."""
    kind = next((kind for kind, pattern in _patterns().items() if pattern.match(text)), _SYMBOL)
    return KINDS.index(_WORD if kind == "space" and text.strip() else kind)


@cache
def _patterns() -> dict[str, Any]:
    import regex

    return {kind: regex.compile(pattern) for kind, pattern in PATTERNS.items()}

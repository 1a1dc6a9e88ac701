"""Foreign strings (names of tensors, messages of libraries, paths), made safe to print."""

from __future__ import annotations

import json
import re
from typing import Any

_LINE_ENDS = re.compile("\\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\\s*")
# Control characters (escape sequences begin with one), marks of writing direction, lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Put a text on one line, and escape characters that a terminal would interpret."""
    return _UNSAFE.sub(_escaped, _LINE_ENDS.sub(" ", text.strip()))


def first_line(error: BaseException) -> str:
    """An error's message in one line: its first line, with the second if the first ends in a colon."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    if not lines:
        return type(error).__name__
    return harmless(" ".join(lines[: 2 if lines[0].endswith(":") else 1]))


def harmless_json(value: Any, *, encoding: str = "utf-8") -> str:
    """A value as JSON on one line, with characters escaped that a terminal would interpret.

    Args:
        value: Plain lists, dictionaries, strings and numbers.
        encoding: Encoding of the output. If it lacks a character, everything except ASCII is escaped.
    """
    text = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def harmless_lines(text: str) -> str:
    """As `harmless`, for a text of several lines, which stay as they are."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in "\n\r" else _escaped(match), text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

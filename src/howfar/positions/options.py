"""Check values that a user wrote against the dataclass that takes them, or against any type hints."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from howfar.errors import ConfigError

Options = TypeVar("Options")

_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    dict: "a table",
}
_WORDS[NoneType] = ""  # TOML cannot say it
_MOST_LISTED = 12


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """The type hints of a class, found once: a study has a thousand recipes of one class."""
    return get_type_hints(kind)


def check_options(what: str, options: Any) -> None:
    """Refuse a value of the wrong type.

    Args:
        what: Names what the options belong to, for the message.
        options: An instance of a dataclass, with annotations as for `needed_instead`.

    Raises:
        ConfigError: An option has an invalid value.
    """
    kind: Any = type(options)
    for field in fields(kind):
        value = getattr(options, field.name)
        if needed := needed_instead(value, hints_of(kind)[field.name]):
            raise ConfigError(f"{what}: {field.name} is {value!r}; it must be {needed}")


def needed_instead(value: Any, hint: Any) -> str:
    """What a value must be, in words; empty if it is that.

    Args:
        value: Any value.
        hint: A `Literal`, `bool`, `int`, finite `float`, `str`, `dict`, or a union of some of these and None. Values of
            any other type are not checked.
    """
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else " or ".join(map(repr, get_args(hint)))
    hints = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [get_origin(kind) or kind for kind in hints]
    if any(_is(value, kind) for kind in kinds):
        return ""
    return " or ".join(filter(None, map(_WORDS.get, kinds)))


def _is(value: Any, kind: Any) -> bool:
    if kind not in _WORDS or isinstance(value, bool):
        return kind not in _WORDS or kind is bool
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def check_keys(said: str, got: Iterable[str], known: Sequence[str]) -> None:
    """Refuse an unknown key and name the nearest known one.

    Args:
        said: How the message begins: `recipe: [model] has`.
        got: The keys that a user wrote.
        known: The keys that there may be.

    Raises:
        ConfigError: A key is not among the known ones.
    """
    for key in got:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            listed = (", ".join(known[:_MOST_LISTED]) or "none") + " and others" * (len(known) > _MOST_LISTED)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {listed}"
            raise ConfigError(f"{said} no option {key!r}; {hint}")


def read_options(what: str, kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Make options from plain values.

    Args:
        what: Names what the options belong to, for the message.
        kind: The dataclass.
        values: Values by name.

    Raises:
        ConfigError: They are no table, a key is unknown (the message names the nearest known one), or a value is out of
            range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what}: the options are {values!r}; they must be a table")
    check_keys(f"{what}: there is", values, [field.name for field in fields(kind)])  # type: ignore[arg-type]
    return kind(**values)

"""Check options that a user wrote against the dataclass that takes them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

from howfar.errors import ConfigError

Options = TypeVar("Options")


def check_options(what: str, options: Any) -> None:
    """Refuse a value of the wrong type.

    Args:
        what: Names what the options belong to, for the message.
        options: An instance of a dataclass, whose annotations are `Literal`s of strings, `bool`, `int`, `float` or
            `str`; fields of other types are not checked.

    Raises:
        ConfigError: An option has an invalid value.
    """
    for name, hint in get_type_hints(type(options)).items():
        value, choices = getattr(options, name), get_args(hint)
        if choices and all(isinstance(choice, str) for choice in choices) and value not in choices:
            raise ConfigError(f"{what}: {name} is {value!r}; it must be {' or '.join(map(repr, choices))}")
        if hint is bool and not isinstance(value, bool):
            raise ConfigError(f"{what}: {name} is {value!r}; it must be true or false")
        if hint is str and not isinstance(value, str):
            raise ConfigError(f"{what}: {name} is {value!r}; it must be a string")
        if hint is int and (not isinstance(value, int) or isinstance(value, bool)):
            raise ConfigError(f"{what}: {name} is {value!r}; it must be a whole number")
        if hint is float and (
            not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max
        ):
            raise ConfigError(f"{what}: {name} is {value!r}; it must be a number")


def read_options(what: str, kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Make options from plain values.

    Args:
        what: Names what the options belong to, for the message.
        kind: The dataclass.
        values: Values by name.

    Raises:
        ConfigError: A key is unknown (the message names the nearest known one) or a value is out of range.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known) or 'none'}"
            raise ConfigError(f"{what}: there is no option {key!r}; {hint}")
    return kind(**values)

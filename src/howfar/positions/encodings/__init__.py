"""How positions reach attention: one file per encoding.

An encoding is a class in a file of this folder; recipes and configurations find it there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from howfar.errors import ConfigError
from howfar.positions.config import IncrementConfig
from howfar.positions.encodings.encoding import Encoding
from howfar.positions.options import read_options
from howfar.positions.rotation import Rotation

PLAIN = {"name": "rotary"}


@cache
def encodings() -> dict[str, type[Encoding]]:
    """All encodings, by name."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return Encoding.known


def encoding_options() -> list[str]:
    """What a recipe's table `[encoding]` may hold: a name, and the options of the encoding of that name."""
    return ["name", *dict.fromkeys(field.name for kind in encodings().values() for field in fields(kind.Options))]


def read_encoding(values: Mapping[str, Any], increments: IncrementConfig | None) -> tuple[type[Encoding], Any]:
    """The class and the options that a configuration names.

    Args:
        values: Its `name` and its options.
        increments: The kind of increments that go with it; None where every increment is 1.

    Raises:
        ConfigError: The encoding or an option does not exist, or the encoding does not work with these increments.
    """
    known, options = encodings(), dict(values)
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"encoding: name is {name!r}, and there is no such encoding; {hint}")
    kind = known[name]
    read: Any = read_options(f"encoding {name!r}", kind.Options, options)
    kind.check_increments(read, increments)
    return kind, read


def encoding_of(
    values: Mapping[str, Any], increments: IncrementConfig | None, rotations: dict[int, Rotation]
) -> Encoding:
    """The encoding that a configuration names.

    Raises:
        ConfigError: As `read_encoding`.
    """
    kind, options = read_encoding(values, increments)
    if dict(values) == PLAIN and increments is not None and increments.per_head:
        kind = import_module(f"{__name__}.per_head").RotaryPerHead
    return kind(increments, options, rotations)

"""A command's settings, `KEY=VALUE`: each replaces one value of a recipe, at any depth."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from howfar.errors import ConfigError
from howfar.positions.options import check_keys

Options = Mapping[str, Sequence[str] | None]
"""A recipe's keys; for a table with fixed keys, also the names in it."""


def apply_settings(values: dict[str, Any], settings: Iterable[str], options: Options) -> None:
    """Apply settings to a recipe's values, in order.

    Args:
        values: Nested, as in the recipe's file; changed in place.
        settings: `table.key=value` or, if only one table has such a key, `key=value`. A value that is not TOML is a
            string. Keys may be nested deeper: `trainer.lr_scheduler_kwargs.num_decay_steps=10`.
        options: The recipe's known keys.

    Raises:
        ConfigError: A setting has no `=`, or its key does not exist.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = key.strip().split(".")
        if not (equals and all(path)):
            raise ConfigError(f"--set {setting!r} is not KEY=VALUE; write, for example, --set trainer.max_steps=100")
        put(values, full_path(path, options), toml_value(text), said=f"--set {setting!r}")


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with others in their place; what the others do not name stays, at every depth."""
    result = dict(values)
    for key, value in overrides.items():
        inner = result.get(key, {})
        tables = isinstance(value, Mapping) and isinstance(inner, Mapping)
        result[key] = merged(inner, value) if tables else value
    return result


def put(values: dict[str, Any], path: Sequence[str], value: Any, *, said: str) -> None:
    """Set one value of a recipe, at any depth; tables on the way are copied.

    Args:
        values: Nested, as in the recipe's file; changed in place.
        path: From `full_path`.
        value: The new value.
        said: The setting as the user wrote it, for messages.

    Raises:
        ConfigError: A part of the path is not a table.
    """
    *tables, name = path
    table = values
    for depth, part in enumerate(tables, 1):
        inner = table.get(part)
        if inner is not None and not isinstance(inner, Mapping):
            whole = ".".join(tables[:depth])
            raise ConfigError(f"{said}: {whole} is {inner!r}, not a table; set {whole} itself")
        table[part] = dict(inner or {})
        table = table[part]
    table[name] = value


def full_path(path: list[str], options: Options, *, where: str = "--set") -> list[str]:
    """The full path of a setting in a recipe; adds the table if only one table has the key.

    Args:
        path: The parts of the key.
        options: The recipe's known keys.
        where: The setting as the user wrote it, for messages.

    Raises:
        ConfigError: No table or several tables have the key.
    """
    head, *rest = path
    if head in options:
        known = options[head]
        if rest and known:
            check_keys(f"recipe: [{head}] has", rest[:1], known)
        return path
    tables = [table for table, known in options.items() if known and head in known]
    if len(tables) == 1:
        return [*tables, *path]
    if tables:
        homes = " and ".join(f"[{table}]" for table in tables)
        raise ConfigError(f"{where} {head}: {homes} have it; write {tables[0]}.{head}")
    if rest:
        check_keys("recipe: the file has", [head], list(options))
    everything = {name: f"{table}.{name}" for table, known in options.items() for name in known or ()}
    everything |= {name: name for name in options}
    near = difflib.get_close_matches(head, everything, n=3)
    hint = f"did you mean {' or '.join(everything[name] for name in near)}?" if near else "see the recipe's file"
    raise ConfigError(f"{where} {head}: a recipe has no such option; {hint}")


def toml_value(text: str) -> Any:
    """A TOML value, or the text itself if it is not TOML."""
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return values["value"] if len(values) == 1 else text  # of several lines, the others would be lost

"""Files of recipes: the package's and the user's."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from howfar.errors import ConfigError
from howfar.inputs import read_file

RECIPES = resources.files("howfar.training") / "recipes"
SCRATCH, GRAFT = "scratch", "graft"


def bundled_recipes(*, grafts: bool = False) -> list[str]:
    """Names of the package's recipes: for models from scratch, or for grafts."""
    kind = GRAFT if grafts else SCRATCH
    return [name for name in _bundled() if read_values(name)["kind"] == kind]


def describe_recipes() -> list[dict[str, str]]:
    """Each recipe of the package: its name, kind, positions, and the first line of its file; grafts come last."""
    return sorted(map(_describe, _bundled()), key=lambda recipe: recipe["kind"] == GRAFT)


def _describe(name: str) -> dict[str, str]:
    text = _read_bundled(name)
    values = tomllib.loads(text)
    increments = values.get("increments")
    positions = "plain positions"
    if increments is not None:
        scope = "shared by all layers" if increments["scope"] == "shared" else "per layer"
        positions = f"learned steps, {'per head, ' if increments.get('per_head') else ''}{scope}"
    return {"name": name, "kind": values["kind"], "positions": positions, "about": text.partition("\n")[0].lstrip("# ")}


def _read_bundled(name: str) -> str:
    return (RECIPES / f"{name}.toml").read_text(encoding="utf-8")


def _bundled() -> list[str]:
    return sorted(path.name.removesuffix(".toml") for path in RECIPES.iterdir() if path.name.endswith(".toml"))


def read_values(name_or_path: str | Path) -> dict[str, Any]:
    """Read a recipe file without checking it: a TOML file, or one of the package's recipes.

    Raises:
        ConfigError: The recipe does not exist, or is not TOML.
    """
    bundled = _bundled()
    try:
        if str(name_or_path) in bundled:
            text = _read_bundled(str(name_or_path))
        else:
            text = read_file(name_or_path, pipes=True).decode()
        return tomllib.loads(text)
    except FileNotFoundError:
        near = get_close_matches(str(name_or_path), bundled)
        hint = f"did you mean {' or '.join(near)}?" if near else f"give a TOML file or one of {', '.join(bundled)}"
        raise ConfigError(f"there is no recipe {str(name_or_path)!r}; {hint}") from None
    except IsADirectoryError:
        raise ConfigError(
            f"the recipe {str(name_or_path)!r} is no file; give a TOML file or one of {', '.join(bundled)}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the recipe {name_or_path} cannot be read: {error}; give a TOML file in UTF-8") from error

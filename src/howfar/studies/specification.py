"""A study's specification: a base recipe, and axes along which its runs differ; one TOML file."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from howfar.errors import StudyError
from howfar.inputs import read_file
from howfar.positions.options import check_keys

RECIPE = "recipe"
PARAMETER_MATCHED = "parameter_matched"
BEYOND_RECIPES = (RECIPE, PARAMETER_MATCHED)
"""Axes that no recipe has: the recipe that a run starts from, and whether its plain control is trained instead."""

OURS = ("name", "kind")
"""Keys of a recipe that cannot be an axis: the first is given to each run, the second is its recipe's."""


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A study's specification. Its runs combine every choice from the grid with every variant.

    Attributes:
        name: Name of the study.
        recipe: The recipe of each run, unless an axis sets it: a TOML file or a bundled recipe.
        settings: Values for all runs, by key; keys are written as for `howfar train --set`.
        grid: Values to choose from, by key.
        variants: Values that change together, by key.
        folder: Where recipes are searched first.
    """

    name: str
    recipe: str | None
    settings: Mapping[str, Any]
    grid: Mapping[str, list[Any]]
    variants: tuple[Mapping[str, Any], ...]
    folder: Path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a study's file.

        Raises:
            StudyError: It cannot be read, is not TOML, or asks for something impossible.
        """
        path = Path(path)
        try:
            values = tomllib.loads(read_file(path, pipes=True).decode())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise StudyError(f"the study {path} cannot be read ({error}); give a TOML file in UTF-8") from None
        return cls.from_dict({"name": path.stem, **values}, folder=path.parent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, folder: Path = Path()) -> Self:
        """Make a specification from the values of a study's file.

        Args:
            values: `name`, `recipe`, `set`, `grid` and `variant`, as in the file.
            folder: Where recipes are searched first.

        Raises:
            StudyError: A key is unknown or a value invalid.
            ConfigError: The same.
        """
        check_keys("study: the file has", values, ("name", "recipe", "set", "grid", "variant"))
        for key, kind, needed in (
            ("name", str, "a string"), ("recipe", str, "a string"), ("set", dict, "a table"), ("grid", dict, "a table"),
            ("variant", list, "a list of tables, each written [[variant]]"),
        ):  # fmt: skip
            if not isinstance(values.get(key, kind()), kind):
                raise StudyError(f"study: {key} is {values[key]!r}; it must be {needed}")
        grid = dict(_leaves(values.get("grid", {})))
        for key, choices in grid.items():
            if not isinstance(choices, list) or not choices:
                raise StudyError(f"study: [grid] {key} is {choices!r}; give a list of values")
        variants = values.get("variant", [{}])
        if not variants:
            raise StudyError("study: variant is an empty list, so there is no run; leave it out")
        for variant in variants:
            if not isinstance(variant, Mapping):
                raise StudyError(f"study: variant has {variant!r}; write each as a table, [[variant]]")
        made = cls(
            name=values.get("name", "study"),
            recipe=values.get("recipe"),
            settings=dict(_leaves(values.get("set", {}))),
            grid=grid,
            variants=tuple(dict(_leaves(variant)) for variant in variants),
            folder=folder,
        )
        made._check_keys()
        return made

    def _check_keys(self) -> None:
        """Errors in keys that do not depend on the recipe."""
        for where, keys in (("[set]", self.settings), ("[grid]", self.grid), ("[[variant]]", self.varied)):
            for key in OURS:
                if key in keys:
                    raise StudyError(f"study: {where} has {key!r}, which follows from the recipe; remove it")
        if RECIPE in self.settings:
            raise StudyError("study: [set] has 'recipe'; put it above all tables, or make it an axis")
        if PARAMETER_MATCHED in self.settings:
            raise StudyError(
                f"study: [set] has {PARAMETER_MATCHED!r}; put it in a [[variant]], beside what it controls for"
            )
        for choice in self.choices():
            if not isinstance(value := choice.get(PARAMETER_MATCHED, False), bool):
                raise StudyError(f"study: {PARAMETER_MATCHED} is {value!r}; it must be true or false")
            if not isinstance(value := choice.get(RECIPE, ""), str):
                raise StudyError(f"study: {RECIPE} is {value!r}; it must be a string")
        if self.recipe is None and RECIPE not in self.grid and not all(RECIPE in variant for variant in self.variants):
            raise StudyError(f"study: {RECIPE!r} is missing; name a bundled recipe or a TOML file")

    @property
    def varied(self) -> list[str]:
        """Keys of the variants, in the order of their first appearance."""
        return list(dict.fromkeys(key for variant in self.variants for key in variant))

    def choices(self) -> Iterator[dict[str, Any]]:
        """The choices of each run, by key: every variant with every choice from the grid, its last key fastest."""
        for variant in self.variants:
            for chosen in itertools.product(*self.grid.values()):
                yield {**variant, **dict(zip(self.grid, chosen, strict=True))}


def _leaves(table: Mapping[str, Any], *above: str) -> Iterator[tuple[str, Any]]:
    """All values of nested tables by their full keys."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, *above, key)
        else:
            yield ".".join((*above, key)), value

"""The measures by name: modules and packages of `howfar.measures` with a `MEASURE`, and those of other distributions.

Another distribution adds a measure by an entry point of the group `howfar.measures` that names its `Measure`, and the
chart by one of the same name in the group `howfar.charts` that names the function which draws it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

import howfar.measures
from howfar.errors import ConfigError
from howfar.measures.declaration import Measure

GROUP = "howfar.measures"
"""Group of the entry points by which other distributions add measures."""


class Measures(Mapping[str, Measure]):
    """All measures by name; a measure is imported when it is looked up."""

    def __getitem__(self, name: str) -> Measure:
        """Find a measure.

        Raises:
            KeyError: There is no measure of this name.
            ConfigError: It comes from another distribution and cannot be loaded.
        """
        measure = _own(name) or plugin(GROUP, name)
        if measure is None:
            raise KeyError(name)
        if not isinstance(measure, Measure) or measure.name != name:
            raise ConfigError(f"{name!r} is registered as a measure, but is {measure!r:.60}; give its `Measure`")
        return measure

    def __iter__(self) -> Iterator[str]:
        names = [module.name for module in pkgutil.iter_modules(howfar.measures.__path__)]
        names = [name for name in names if _own(name) is not None]
        return iter(dict.fromkeys([*names, *sorted(entry_points(group=GROUP).names)]))

    def __len__(self) -> int:
        return len(list(iter(self)))


MEASURES = Measures()


def measure_named(name: str) -> Measure:
    """Find a measure.

    Raises:
        ConfigError: There is no measure of this name.
    """
    if name not in MEASURES:
        close = get_close_matches(name, MEASURES)
        meant = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(MEASURES)}"
        raise ConfigError(f"there is no measure {name!r}; {meant}")
    return MEASURES[name]


def plugin(group: str, name: str) -> Any:
    """What another distribution has registered under a name; None if nothing.

    Raises:
        ConfigError: It cannot be loaded.
    """
    for point in entry_points(group=group, name=name):
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{point.value!r}, registered as {name!r} in {group}, cannot be loaded ({error}); "
                "repair or uninstall what registers it"
            ) from error
    return None


def _own(name: str) -> Measure | None:
    """The measure of a module of this package."""
    path = f"{howfar.measures.__name__}.{name}"
    if not name.isidentifier() or find_spec(path) is None:
        return None
    return getattr(importlib.import_module(path), "MEASURE", None)

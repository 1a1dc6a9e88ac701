"""The chart of any measure: found by the measure's name, refused if it would be empty, with a footer."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from howfar.charts.picture import Picture
from howfar.charts.text_tables import notes
from howfar.charts.theme import Theme
from howfar.errors import NotMeasurableError
from howfar.measures.declaration import Measure
from howfar.measures.registry import plugin

if TYPE_CHECKING:
    import polars as pl

GROUP = "howfar.charts"
"""Group of the entry points by which other distributions add charts, under their measures' names."""

LINE = 110
"""Characters per line in the footer of a chart."""


Draw = Callable[["pl.DataFrame"], Picture]
"""Draws a measure's table."""


def chart_of(measure: Measure) -> Draw | None:
    """The function that draws a measure: `draw_NAME` in `howfar.charts.measures.NAME`, or an entry point.

    Raises:
        ConfigError: It belongs to another distribution and cannot be loaded.
    """
    path = f"howfar.charts.measures.{measure.name}"
    if find_spec(path) is None:
        found: Draw | None = plugin(GROUP, measure.name)
        return found
    own: Draw = getattr(importlib.import_module(path), f"draw_{measure.name}")
    return own


def draw(
    measure: Measure, table: pl.DataFrame, *, source: str = "", theme: Theme = "light", otherwise: str = ""
) -> Picture:
    """Draw a measure's table.

    Args:
        measure: The measure.
        table: Its table.
        source: From `Measure.source`, for the footer of the chart, below the missing numbers and their reasons.
        theme: `"light"` or `"dark"`.
        otherwise: What else the caller advises if there is no chart, after "give more text".

    Raises:
        NotMeasurableError: The measure has no chart, or there is nothing to draw.
    """
    chart = chart_of(measure)
    if chart is None:
        raise NotMeasurableError(f"{measure.name} has no chart; use its table{otherwise}")
    reasons = "; ".join(notes(table)) or "no row of the table has what the chart shows"
    if table.is_empty() or (not measure.rows and table["value"].null_count() == len(table)):
        raise NotMeasurableError(f"there is nothing to draw: {reasons}; give more text{otherwise}")
    picture = chart(table)
    picture.use(theme)
    if not any(_tables(picture.chart.to_dict())):
        raise NotMeasurableError(f"there is nothing to draw: {reasons}; give more text{otherwise}")
    if source:
        missing = [line for note in notes(table) for line in textwrap.wrap(note, LINE)]
        picture.sign(*missing, source)
    return picture


def _tables(spec: Any) -> Iterator[bool]:
    """Whether there are rows in each table of a chart."""
    if isinstance(spec, list):
        for part in spec:
            yield from _tables(part)
    elif isinstance(spec, dict):
        for name, part in spec.items():
            if name == "datasets":
                # A table of a line or a label has one row without fields.
                yield from (table not in ("[]", [], [{}]) for table in part.values())
            else:
                yield from _tables(part)

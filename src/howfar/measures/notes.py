"""Notes in tables: why there is no number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from howfar.errors import NotMeasurableError

Row = dict[str, Any]


def rows_or_notes(make: Callable[[], list[Row]], *missing: Mapping[str, Any]) -> list[Row]:
    """Rows; if they cannot be measured, one that says why for each that is missing, so that others are kept.

    Args:
        make: Measures the rows.
        *missing: What identifies each row that there is without numbers.
    """
    try:
        return make()
    except NotMeasurableError as error:
        return [{**row, "note": f"not measurable: {error}"} for row in missing]

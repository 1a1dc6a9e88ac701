"""Tables inside charts."""

from __future__ import annotations

import altair as alt
import polars as pl


def inline(table: pl.DataFrame) -> alt.InlineData:
    """A table as a chart's own data: one string, which Altair does not inspect value by value.

    It also keeps notebooks from moving the data to a file that a chart may no longer find when it is replaced.
    """
    return alt.InlineData(values=table.write_json(), format=alt.DataFormat(type="json"))

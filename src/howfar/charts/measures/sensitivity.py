"""A chart of `howfar.measures.sensitivity`."""

from __future__ import annotations

import polars as pl

from howfar.charts.intervals import beside_controls, class_words, layer_names
from howfar.charts.picture import Picture


def draw_sensitivity(table: pl.DataFrame) -> Picture:
    """Draw the change of loss when a gap of each class is closed or widened, beside the model's own samples."""
    cells = layer_names(table.filter(quantity="change of the loss"), "all layers")
    sides = {"the text": ("value", "low", "high"), "the model's own samples": ("null", "null_low", "null_high")}
    chart = beside_controls(
        cells.with_columns(gap=pl.format("{} before {}", "change", class_words(cells))),
        sides,
        panel="gap",
        estimate="cost",
        shown=["n"],
        axis="change of loss, nats per token",
        width=300,
    )
    reliabilities = [
        f"{row['change']} {row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for row in table.filter(quantity="split-half reliability").drop_nulls("value").iter_rows(named=True)
    ]
    return Picture(
        chart,
        title="Change of the next tokens' loss when one gap changes",
        subtitle=[
            "Means of the next tokens' losses, 95% intervals over documents. Scales differ.",
            f"Split-half reliability: {', '.join(reliabilities) or 'none, as the cells do not differ'}.",
        ],
        description="Change of loss by class, layer and change, with 95% intervals",
    )

"""A chart of `howfar.measures.interventions`."""

from __future__ import annotations

import polars as pl

from howfar.charts.intervals import beside_controls, layer_names
from howfar.charts.picture import Picture


def draw_interventions(table: pl.DataFrame) -> Picture:
    """Draw the change of loss by each intervention in each layer, beside its control; a panel for each intervention."""
    measured = layer_names(table.filter(pl.col("value").is_not_null()), "all layers")
    if "dose" in measured.columns:
        measured = measured.filter(pl.col("dose") == pl.col("dose").max())
    sides = {"intervention": ("value", "low", "high"), "matched control": ("control", "control_low", "control_high")}
    chart = beside_controls(
        measured,
        sides,
        panel="kind",
        estimate="change",
        shown=["moved"],
        axis="change of loss, nats per byte",
        width=430,
    )
    return Picture(
        chart,
        title="Change of the loss when increments are replaced",
        subtitle=[
            "Increments of a layer are replaced, or tokens are displaced equally far at random places. Scales differ.",
            f"95% intervals over {table['n'][0]} held-out documents.",
        ],
        description="Change of loss by intervention and layer, with 95% intervals",
    )

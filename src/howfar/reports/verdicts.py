"""What pairs of models say about the loss one by one, and what they say together."""

from __future__ import annotations

import polars as pl


def verdicts(table: pl.DataFrame) -> list[str]:
    """One sentence for each kind of model that was compared with.

    Args:
        table: From `neutrality`, of at least two pairs.
    """
    said = []
    for (name,), rows in table.filter(pl.col("low").is_not_null(), source="all").group_by(
        "against", maintain_order=True
    ):
        alone, together = rows.filter(pl.col("pair").is_not_null()), rows.filter(pl.col("pair").is_null())
        if together.is_empty():
            continue
        lower, higher = int((alone["high"] < 0).sum()), int((alone["low"] > 0).sum())
        over = together.row(0, named=True)
        found = f"{over['value']:+.4f} [{over['low']:+.4f}, {over['high']:+.4f}]"
        said.append(
            f"Against {name}, {lower} of {len(alone)} pairs show{'s' if lower == 1 else ''} a lower loss by "
            f"{'itself' if lower == 1 else 'themselves'}, {higher} a higher one. Over pairs the difference is {found} "
            f"nats per byte, and {over['seed_share']:.0%} of the variance of one pair's difference comes from its seed."
        )
    return said

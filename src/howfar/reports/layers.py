"""The strongest layer of each model, so that seeds can be compared although their layers do not correspond.

Layer 1 of one seed need not do what layer 1 of another does. But one can ask of each whether some layer does it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from howfar.measures.boundaries.rows import WITHIN

LEVEL = 0.05
SHOWN = ("seed", "layer", "head", "scored_at", "value [low_together, high_together]", "p_together", "n")


def strongest(tables: Mapping[int, pl.DataFrame]) -> pl.DataFrame:
    """For each seed, the increment that best marks boundaries among gaps after the same character.

    Args:
        tables: From `boundaries`, by seed.

    Returns:
        One row per seed, with intervals and p-value over all layers, heads and places at once.
    """
    rows = []
    for seed, table in tables.items():
        own = table.filter(pl.col("p_together").is_not_null(), quantity=WITHIN, score="increment")
        best = own.sort((pl.col("value") - 0.5).abs(), descending=True).head(1)
        rows.append(best.with_columns(seed=pl.lit(seed, pl.Int64)))
    return pl.concat(rows)


def said(found: pl.DataFrame) -> str:
    """In how many seeds some layer marks boundaries, in words."""
    shown = found.filter(found["p_together"] < LEVEL)
    of_bytes = int((shown["layer"].fill_null(0) == 0).sum())
    apart = np.abs(found["value"].to_numpy() - 0.5)
    return (
        f"In {len(shown)} of {len(found)} seeds some layer marks where Chinese words begin among gaps after the same "
        f"character (p < {LEVEL} for all layers, heads and places at once). In {of_bytes} of them it is the first "
        "layer or a shared step, which sees single bytes and no context: it marks characters that often begin words. "
        f"The AUC of the strongest is {apart.mean():.3f} from 0.5 on average, {apart.min():.3f} to {apart.max():.3f}; "
        "the strongest of several is some way from 0.5 by chance, too."
    )

"""What many seeds or pairs of models say, one by one and together, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from howfar.errors import NotMeasurableError
from howfar.measures.boundaries.scores import WITHIN

LEVEL = 0.05
SHOWN = (
    "seed",
    "layer",
    "head",
    "scored_at",
    "value [low_together, high_together]",
    "p_together",
    "p_random_together",
    "n",
)


def strongest(tables: Mapping[int, pl.DataFrame]) -> pl.DataFrame:
    """For each seed, the increment that best marks boundaries among gaps after the same character.

    Layer 1 of one seed need not do what layer 1 of another does. But one can ask of each whether some layer does it.

    Args:
        tables: From `boundaries`, by seed.

    Returns:
        One row per seed that has p-values, with intervals and p-value over all layers, heads and places at once.

    Raises:
        NotMeasurableError: No seed has p-values.
    """
    rows = []
    for seed, table in tables.items():
        best = _tested(table).sort((pl.col("value") - 0.5).abs(), descending=True).head(1)
        rows.append(best.with_columns(seed=pl.lit(seed, pl.Int64)))
    found = pl.concat(rows)
    if found.is_empty():
        raise NotMeasurableError("no seed has enough documents for a p-value; give more texts")
    return found


def said(found: pl.DataFrame, tables: Mapping[int, pl.DataFrame]) -> str:
    """In how many seeds some layer marks boundaries, in words.

    Args:
        found: From `strongest`.
        tables: As for `strongest`. The strongest layer of a seed need not be the one with the lowest p-value.
    """
    marking = [_tested(table).filter(pl.col("p_together") < LEVEL) for table in tables.values()]
    marking = [rows.with_columns(pl.col("layer").fill_null(0)) for rows in marking if len(rows)]
    of_bytes = sum(bool((rows["layer"] == 0).all()) for rows in marking)
    trained = sum(bool((rows["p_random_together"] < LEVEL).any()) for rows in marking)
    untested = len(tables) - len(found)
    apart = np.abs(found["value"].to_numpy() - 0.5)
    return (
        f"In {len(marking)} of {len(tables)} seeds some layer marks where Chinese words begin among gaps after the "
        f"same character (p < {LEVEL} for all layers, heads and places at once). "
        f"In {of_bytes} of them it is only the first layer or a shared step, which sees single bytes and no context: "
        "it marks characters that often begin words. "
        f"In {trained} of them some such step marks words better than steps of networks with random weights do "
        f"(p < {LEVEL}, likewise), so that training made it. "
        f"The AUC of the strongest is {apart.mean():.3f} from 0.5 on average, {apart.min():.3f} to {apart.max():.3f}; "
        "the strongest of several is some way from 0.5 by chance, too."
        f"{f' In {untested} of the seeds there are too few documents for a p-value.' if untested else ''}"
    )


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


def _tested(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("p_together").is_not_null(), quantity=WITHIN, score="increment")

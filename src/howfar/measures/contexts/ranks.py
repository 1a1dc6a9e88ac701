"""The rank of any increment in a corpus, from a table of `howfar.measures.contexts`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from howfar.errors import ConfigError
from howfar.foreign import first_line
from howfar.inputs import check_file
from howfar.measures.contexts.rows import ALL_CLASSES, DISTRIBUTION

_NEEDED = {"kind", "model", "layer", "head", "class", "share", "increment"}


def read_contexts(path: str | Path) -> pl.DataFrame:
    """Read a table of `contexts`: a Parquet file, or a folder of its parts.

    Raises:
        ConfigError: The file cannot be read, or is not such a table.
    """
    try:
        check_file(Path(path))
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{path} cannot be read ({first_line(error)}); {_WHAT_TO_GIVE}") from error
    if not set(table.columns) >= _NEEDED or DISTRIBUTION not in table["kind"]:
        raise ConfigError(f"{path} is not a table of contexts; {_WHAT_TO_GIVE}")
    return table


_WHAT_TO_GIVE = "give a file that `howfar measure contexts -o contexts.parquet` wrote"


def corpus_ranks(
    table: pl.DataFrame, increments: ArrayLike, layers: Sequence[int], *, of_class: str = ALL_CLASSES
) -> pl.DataFrame:
    """Percentiles of increments among those of a corpus's tokens.

    Args:
        table: From `contexts`, of the same model.
        increments: `[layer, head]`, in positions.
        layers: Indices of the layers.
        of_class: The class of tokens to compare with.

    Returns:
        One row per `layer` and `head`: `corpus_percentile`, from 0.1 to 99.9, interpolated between the shares in the
        table; null where the table has no such layer, head or class.
    """
    of_corpus = table.filter(pl.col("kind") == DISTRIBUTION, pl.col("class") == of_class)
    is_shared = of_corpus["layer"].is_null().all()
    rows = []
    for layer, of_layer in zip(layers, np.asarray(increments, np.float64), strict=True):
        for head, increment in enumerate(of_layer.tolist()):
            known = of_corpus.filter(
                pl.col("head") == head, pl.lit(True) if is_shared else pl.col("layer") == layer
            ).sort("share")
            percentile = None if known.is_empty() else 100 * _share(known, increment)
            rows.append({"layer": layer, "head": head, "corpus_percentile": percentile})
    return pl.DataFrame(rows, schema={"layer": int, "head": int, "corpus_percentile": float})


def _share(known: pl.DataFrame, increment: float) -> float:
    shares, quantiles = known["share"].to_numpy(), known["increment"].to_numpy()
    at_most = shares[quantiles <= increment]
    # If many tokens have the same increment, interpolation alone would underestimate their share.
    return max(float(np.interp(increment, quantiles, shares)), float(at_most.max(initial=0.0)))

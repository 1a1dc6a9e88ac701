"""Names of tokens, and of numbers, in panels."""

from __future__ import annotations

import numpy as np
import polars as pl

from howfar.charts.glyphs import visible
from howfar.charts.rows import Cells

CONTINUES = 0b1000_0000  # the first two bits of a byte that continues a character, in UTF-8


def token_label(data: bytes) -> str:
    """The text of a token: its characters, or its bytes if they are only part of one."""
    if not data:
        return "⟨end⟩"
    if not is_part(data):
        return visible(data.decode())
    begins, ends = data[0] & 0b1100_0000 != CONTINUES, data[-1] & 0b1000_0000 == 0
    written = " ".join(f"{byte:02X}" for byte in data)
    return f"{'' if begins else '…'}{written}{'' if ends else '…'}"


def is_part(data: bytes) -> bool:
    """Whether a token is part of a character."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def shortest(number: float) -> str:
    """The fewest digits that distinguish a number from all others, of 32 bits if it has 32."""
    single = np.float32(number)
    return str(single if float(single) == number else np.float64(number))


def with_labels(losses: pl.DataFrame, cells: Cells) -> pl.DataFrame:
    """Add the `label` of each token, and its `tick` on an axis, where a character is named at its first token."""
    labels = [
        f"a part of {cells.labels[cell]}" if is_part(data) else token_label(data)
        for data, cell in losses.select("bytes", "cell").rows()
    ]
    characters = pl.Series(cells.labels).gather(losses["cell"])
    tick = pl.when(pl.col("cell").is_first_distinct()).then(characters).otherwise(pl.lit(""))
    return losses.with_columns(label=pl.Series(labels, dtype=pl.String), tick=tick)

"""Are the parts of a name close together? The measure, its lists of names, its scores and its matched controls."""

from __future__ import annotations

from howfar.measures.pairs.measure import MEASURE, pairs

__all__ = ["MEASURE", "pairs"]

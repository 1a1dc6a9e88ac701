"""How far positions advance at tokens of each class: the measure and its sums."""

from __future__ import annotations

from howfar.measures.increments.measure import MEASURE, increments

__all__ = ["MEASURE", "increments"]

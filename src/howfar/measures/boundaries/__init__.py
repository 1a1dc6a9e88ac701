"""Do increments mark where words begin? The measure, the gaps it scores, and what they are scored against."""

from __future__ import annotations

from howfar.measures.boundaries.measure import MEASURE, boundaries

__all__ = ["MEASURE", "boundaries"]

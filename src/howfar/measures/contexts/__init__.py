"""Where increments are largest, smallest and unlike their class: the measure, its passages and their ranks."""

from __future__ import annotations

from howfar.measures.contexts.measure import MEASURE, contexts

__all__ = ["MEASURE", "contexts"]

"""Where increments are largest, smallest and unlike their class: the measure, its passages and their ranks."""

from __future__ import annotations

from howfar.measures.contexts.measure import contexts

__all__ = ["contexts"]

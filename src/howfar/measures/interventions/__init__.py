"""What a model does with its increments: the measure and what it replaces them by."""

from __future__ import annotations

from howfar.measures.interventions.measure import MEASURE, interventions

__all__ = ["MEASURE", "interventions"]

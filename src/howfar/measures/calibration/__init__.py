"""What boundaries are found where it is known which there are: the measure and its made-up text."""

from __future__ import annotations

from howfar.measures.calibration.measure import MEASURE, calibration

__all__ = ["MEASURE", "calibration"]

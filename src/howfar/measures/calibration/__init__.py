"""Does `boundaries` find units that are known to be there? The measure and its synthetic text."""

from __future__ import annotations

from howfar.measures.calibration.measure import MEASURE, calibration

__all__ = ["MEASURE", "calibration"]

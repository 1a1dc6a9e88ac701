"""How well do increments segment a text into words, compared with other segmenters?"""

from __future__ import annotations

from howfar.measures.segmentation.measure import MEASURE, segmentation

__all__ = ["MEASURE", "segmentation"]

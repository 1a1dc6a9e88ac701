"""How well do increments cut a text into its words, beside everything else that could?"""

from __future__ import annotations

from howfar.measures.segmentation.measure import MEASURE, segmentation

__all__ = ["MEASURE", "segmentation"]

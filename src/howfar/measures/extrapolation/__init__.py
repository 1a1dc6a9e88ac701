"""How does the loss change in contexts that are longer, in tokens or in positions, than those of training?"""

from __future__ import annotations

from howfar.measures.extrapolation.measure import MEASURE, extrapolation

__all__ = ["MEASURE", "extrapolation"]

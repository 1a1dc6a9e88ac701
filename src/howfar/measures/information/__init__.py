"""What do increments know of grammar, names and code, beyond which tokens stand there?"""

from __future__ import annotations

from howfar.measures.information.measure import MEASURE, information

__all__ = ["MEASURE", "information"]

"""What do increments tell about grammar, names and code, beyond the identity of the tokens?"""

from __future__ import annotations

from howfar.measures.information.measure import MEASURE, information

__all__ = ["MEASURE", "information"]

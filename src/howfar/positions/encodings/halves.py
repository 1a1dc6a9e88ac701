"""Two independent sets of positions in each head, each with its own increment."""

from __future__ import annotations

from howfar.positions.encodings.sets import Sets


class Halves(Sets):
    """The second set rotates every other frequency."""

    name = "halves"
    num_sets = 2
    needs_increments = True

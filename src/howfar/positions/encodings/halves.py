"""Two independent sets of positions in each head, each with an increment of its own."""

from __future__ import annotations

from howfar.positions.encodings.sets import Sets


class Halves(Sets):
    """Every other frequency turns by the second set."""

    name = "halves"
    num_sets = 2
    needs_increments = True

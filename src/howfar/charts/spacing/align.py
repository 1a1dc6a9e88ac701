"""Two readings side by side: which of their cells share a slot, and over which slots their steps are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

from howfar.charts.rows import Cells

Slots = list[int | None]
"""For each slot, the number of its cell; None if it is empty."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """The slots of one reading, or of two.

    Attributes:
        slots: Of each reading.
        stretches: int64 `[slot]`: number of the stretch of text in which both readings end a cell next; their steps are
            compared over a stretch. A slot each where both have the same cells.
        is_one_text: Whether all readings are of the same text.
    """

    slots: list[Slots]
    stretches: NDArray[np.int64]
    is_one_text: bool


def align(cells: Sequence[Cells]) -> Alignment:
    """Align one reading with itself, or two with each other.

    Readings of one text by two models are aligned by characters: each cell stands in the slot in which it ends. Two
    texts share the slots of what they have in common; between, stretches of equal length face each other.
    """
    is_one_text = len({one.trace.text for one in cells}) == 1
    has_line_end = [len(one) > 1 and one.texts[-1] in ("\n", "\r\n") for one in cells]
    if is_one_text:  # at its end, which most files have, it is left out if it is a cell of every reading
        has_line_end = [all(has_line_end)] * len(cells)
    nums_drawn = [len(one) - is_left_out for one, is_left_out in zip(cells, has_line_end, strict=True)]
    if is_one_text:
        return _by_characters([one.end_characters[:num] for one, num in zip(cells, nums_drawn, strict=True)])
    return _by_pieces(*(one.texts[:num] for one, num in zip(cells, nums_drawn, strict=True)))


def _by_characters(ends: Sequence[NDArray[np.int64]]) -> Alignment:
    every, shared = np.unique(np.concatenate(ends)), ends[0][np.isin(ends[0], ends[-1])]
    all_slots: list[Slots] = []
    for own in ends:
        slots: Slots = [None] * len(every)
        for cell, slot in enumerate(np.searchsorted(every, own).tolist()):
            slots[slot] = cell
        all_slots.append(slots)
    return Alignment(all_slots, np.searchsorted(shared, every), is_one_text=True)


def _by_pieces(one: list[str], other: list[str]) -> Alignment:
    first: Slots = []
    second: Slots = []
    for _, i, i_end, j, j_end in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        length = max(i_end - i, j_end - j)
        first += [*range(i, i_end), *[None] * (length - (i_end - i))]
        second += [*range(j, j_end), *[None] * (length - (j_end - j))]
    return Alignment([first, second], np.arange(len(first)), is_one_text=False)

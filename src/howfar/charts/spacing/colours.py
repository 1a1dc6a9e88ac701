"""The meaning of the tiles' colours, as one of nine shades each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from howfar.charts.rows import Scale
from howfar.charts.spacing.content import Content
from howfar.charts.spacing.scales import Line, short

Colour = Literal["gap", "rank", "surprisal", "entropy", "kind", "difference"]

SHADES = 9
MIDDLE = SHADES // 2
EVERYWHERE_BUT_THE_TOP = 0.98  # share of values below the last shade
UNITS = {
    "layer-mean": "the average of its row",
    "raw": "a plain one",
    "shared": "the average of all layers",
    "contrast": "an average one, as drawn",
}


@dataclass(frozen=True, eq=False)
class Shades:
    """The tiles' shades.

    Attributes:
        of: int64 `[line, slot]`: from 0, closest or least, to 8, farthest or most.
        is_diverging: Whether the middle shade is neutral; else the first one is.
        title: The quantity.
        ends: Labels of the first, the middle and the last shade.
    """

    of: NDArray[np.int64]
    is_diverging: bool
    title: str
    ends: tuple[str, str, str]

    def name(self, shade: int) -> str:
        """A shade's class in the style sheet."""
        return f"{'t' if self.is_diverging else 's'}{shade}"


def shades_of(content: Content, lines: list[Line], colour: Colour, scale: Scale) -> Shades:
    """Choose the shade of every tile."""
    if colour in ("surprisal", "entropy"):
        return _nats(content, lines, colour)
    if colour == "gap":
        title, ends = f"step, over {UNITS[scale]}", ("≤ ½", "1", "≥ 2")
        values = [_doublings(_drawn_ratio(content, line)) for line in lines]
    elif colour == "rank":
        title, ends = "rank of the step in its row", ("shortest", "middle", "longest")
        values = [_ranks(content, line) for line in lines]
    elif colour == "kind":
        title, ends = "step, against others of its kind", ("−2 sd", "their mean", "+2 sd")
        values = [_against_kind(content, line) / 2 for line in lines]
    else:
        differences = [_difference(content, line) for line in lines]
        largest = _top(np.abs(np.concatenate(differences)))
        title, ends = "difference of steps, in average ones", (f"−{short(largest, 2)}", "0", f"+{short(largest, 2)}")
        values = [difference / largest for difference in differences]
    shades = _diverging(np.stack(values))
    for index, line in enumerate(lines):
        if line.is_plain:
            shades[index] = MIDDLE
    return Shades(shades, True, title, ends)


def shades_of_steps(drawn: NDArray[np.float64]) -> list[int]:
    """The shades of steps of single tokens by their drawn lengths, for the colour `gap`."""
    return _diverging(_doublings(drawn)).tolist()


def _doublings(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log2(np.maximum(drawn, 1 / 64))


def _diverging(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Shades of values from -1 to 1."""
    return np.clip(np.floor((values + 1) / 2 * SHADES), 0, SHADES - 1).astype(np.int64)


def _nats(content: Content, lines: list[Line], colour: Colour) -> Shades:
    texts = [text.surprisal_nats if colour == "surprisal" else text.entropy_nats for text in content.texts]
    highest = _top(np.concatenate(texts))
    title = f"surprisal of the {content.noun}" if colour == "surprisal" else "entropy of what follows"
    nats = np.stack([texts[content.rows[line.rows[0]].text] for line in lines])
    shades = np.clip(np.floor(nats / highest * SHADES), 0, SHADES - 1).astype(np.int64)
    return Shades(shades, False, title, ("0", f"{short(highest / 2, 2)}", f"≥ {short(highest, 2)} nats"))


def _drawn_ratio(content: Content, line: Line) -> NDArray[np.float64]:
    tokens = content.texts[content.rows[line.rows[0]].text].tokens
    return np.where(tokens > 0, line.drawn / np.maximum(tokens, 1), 1.0)


def _ranks(content: Content, line: Line) -> NDArray[np.float64]:
    """From -1, the shortest step of the row, to 1, its longest; equal ones share a rank."""
    present = content.texts[content.rows[line.rows[0]].text].tokens > 0
    ordered = np.sort(line.ratio[present])
    below = np.searchsorted(ordered, line.ratio, side="left")
    up_to = np.searchsorted(ordered, line.ratio, side="right")
    return (below + up_to) / max(1, len(ordered)) - 1


def _against_kind(content: Content, line: Line) -> NDArray[np.float64]:
    """Distance of a step from the mean of its kind, in the row's standard deviations."""
    text = content.texts[content.rows[line.rows[0]].text]
    present = text.tokens > 0
    deviations = np.zeros(len(line.ratio))
    for kind in np.unique(text.kinds[present]).tolist():
        of_kind = present & (text.kinds == kind)
        deviations[of_kind] = line.ratio[of_kind] - line.ratio[of_kind].sum() / of_kind.sum()
    spread = np.sqrt((deviations[present] * deviations[present]).sum() / max(1, present.sum()))
    return deviations / max(float(spread), 1e-9)


def _difference(content: Content, line: Line) -> NDArray[np.float64]:
    """How much longer a step is than in the other model or text; for folded rows, the mean."""
    found = [content.rows[row].difference for row in line.rows]
    return np.stack([np.zeros(len(content)) if one is None else np.nan_to_num(one) for one in found]).sum(0) / len(
        found
    )


def _top(values: NDArray[np.float64]) -> float:
    ordered = np.sort(values)
    return float(ordered[int(EVERYWHERE_BUT_THE_TOP * (len(ordered) - 1))]) or 1.0

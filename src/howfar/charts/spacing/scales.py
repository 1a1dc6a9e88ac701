"""Drawn length of each step in each scale, unevenness of rows, and folding of nearly even ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from howfar.charts.rows import Scale
from howfar.charts.spacing.content import Content, Steps
from howfar.charts.spacing.elements import fixed, significant
from howfar.charts.spacing.geometry import CONTRAST_LEAST, CONTRAST_SPREAD, EVEN

Rows = Literal["auto", "all"]

_LEAST_WRITTEN_OUT = 1e-6  # smaller numbers have an exponent, as in JavaScript


@dataclass(frozen=True, eq=False)
class Line:
    """One row as it is drawn.

    Attributes:
        rows: Numbers of the content's rows in it; several if adjacent nearly even ones are folded.
        name: Its name.
        note: Text below the name.
        ratio: float64 `[slot]`: each step over the row's average, per token; 1 in an even row.
        drawn: float64 `[slot]`: drawn length of each step; 1 is an average one.
        stretch: What deviations from the average step are multiplied by.
        is_folded: Whether it combines nearly even rows, or is one.
        is_plain: Whether it is the row of plain positions.
    """

    rows: tuple[int, ...]
    name: str
    note: str
    ratio: NDArray[np.float64]
    drawn: NDArray[np.float64]
    stretch: float = 1.0
    is_folded: bool = False
    is_plain: bool = False


def lines_of(content: Content, scale: Scale, *, fold: bool) -> list[Line]:
    """The rows of a picture in a scale; adjacent nearly even ones are folded if asked for."""
    lines = [_line(content, number, scale) for number in range(len(content.rows))]
    if not fold:
        return lines
    spreads = [spread_of(content, row) for row in content.rows]
    learned = [number for number, row in enumerate(content.rows) if not row.is_plain]
    widest = max(learned, key=lambda number: spreads[number], default=0)
    folded: list[Line] = []
    run: list[int] = []
    for number, row in enumerate(content.rows):
        if not row.is_plain and number != widest and spreads[number] < EVEN:
            run.append(number)
            continue
        folded += _fold(lines, run, spreads)
        folded.append(lines[number])
        run = []
    return folded + _fold(lines, run, spreads)


def spread_of(content: Content, row: Steps) -> float:
    """Spread of a row's steps: root mean square distance from the average step, as a share of it."""
    present = content.texts[row.text].tokens > 0
    deviations = ratio_of(content, row)[present] - 1
    return float(np.sqrt((deviations * deviations).sum() / max(1, len(deviations))))


def ratio_of(content: Content, row: Steps) -> NDArray[np.float64]:
    """Each step over the row's average, per token; over a plain step if the average is not positive. 1 if empty."""
    tokens = content.texts[row.text].tokens
    unit = row.mean if row.mean > 0 else 1.0
    return np.where(tokens > 0, row.gaps / (unit * np.maximum(tokens, 1)), 1.0)


def stretched(ratio: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
    """Steps over the average, with their deviations from it multiplied; none shorter than the least that is drawn."""
    return np.maximum(CONTRAST_LEAST, 1 + (ratio - 1) * stretch)


def _line(content: Content, number: int, scale: Scale) -> Line:
    row = content.rows[number]
    text = content.texts[row.text]
    tokens = text.tokens
    ratio, spread = ratio_of(content, row), spread_of(content, row)
    plain = f"every {text.unit if (tokens > 1).any() else 'step'} 1"
    note = plain if row.is_plain else f"mean {fixed(row.mean, 2)} ±{percent(spread)}"
    stretch = 1.0
    if row.is_plain:
        drawn = tokens.astype(np.float64)
    elif scale == "contrast":
        stretch = CONTRAST_SPREAD / spread if spread > 1e-6 else 1.0
        drawn = stretched(ratio, stretch) * tokens
        note = f"×{short(stretch, 2)} ±{percent(spread)}"
    else:
        drawn = row.gaps / {"layer-mean": row.mean, "raw": 1.0, "shared": content.shared_mean}[scale]
    return Line((number,), row.name, note, ratio, drawn, stretch, is_plain=row.is_plain)


def _fold(lines: Sequence[Line], run: Sequence[int], spreads: Sequence[float]) -> list[Line]:
    if not run:
        return []
    folded = [lines[number] for number in run]
    total = folded[0].ratio
    drawn = folded[0].drawn
    for line in folded[1:]:
        total, drawn = total + line.ratio, drawn + line.drawn
    name = _span_of_names([line.name for line in folded])
    note = f"even to ±{percent(max(spreads[number] for number in run))}"
    return [Line(tuple(run), name, note, total / len(run), drawn / len(run), is_folded=True)]


def _span_of_names(names: Sequence[str]) -> str:
    """`layers 3–5` for `layer 3`, `layer 4` and `layer 5`."""
    if len(names) == 1:
        return names[0]
    stem, _, first = names[0].rpartition(" ")
    last_stem, _, last = names[-1].rpartition(" ")
    return f"{stem}s {first}–{last}" if stem == last_stem and stem else f"{len(names)} rows"


def percent(share: float) -> str:
    """A share in percent, with two significant digits."""
    return f"{short(share * 100, 2)}%"


def short(value: float, digits: int) -> str:
    """The shortest form of a number with this many significant digits."""
    if not value:
        return "0"
    rounded = significant(value, digits)
    if abs(rounded) < _LEAST_WRITTEN_OUT:
        return f"{float(rounded):g}".replace("e-0", "e-")
    return f"{rounded.normalize():f}"

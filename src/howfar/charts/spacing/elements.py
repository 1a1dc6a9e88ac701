"""Pieces of SVG that several parts of a picture use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from html import escape

from howfar.charts.glyphs import is_wide, turned

_ROUNDING = Context(prec=400, rounding=ROUND_HALF_UP)  # Python's own rounding takes halves to the even digit


def fixed(value: float, digits: int) -> str:
    """A number with so many digits after the point, rounded as in JavaScript."""
    return f"{Decimal(float(value)).quantize(Decimal(1).scaleb(-digits), context=_ROUNDING):f}"


def significant(value: float, digits: int) -> Decimal:
    """A number rounded to so many significant digits, as in JavaScript."""
    exact = Decimal(float(value))
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), context=_ROUNDING)


def number(value: float) -> str:
    """A number, to a tenth of a pixel; floats are rounded by the same operations as in JavaScript."""
    return str(math.trunc(value * 10 + (-0.5 if value < 0 else 0.5)) / 10).removesuffix(".0")


def stroke(shade: str, height: float, marks: Iterable[tuple[float, float]], middle: float) -> str:
    """Horizontal bars of one shade as one thick stroke; starts and lengths in pixels."""
    y = number(middle)
    path = "".join(f"M{number(start)} {y}h{number(length)}" for start, length in marks)
    return f'<path class="{shade}" stroke-width="{number(height)}" d="{path}"/>' if path else ""


def letters(labels: Sequence[str], places: Sequence[float], *, right_to_left: bool = False) -> str:
    """Labels, each centred: single letters as lists of coordinates, others one by one.

    East Asian labels have a class, because the first font with one letter of a piece draws as much of it as it can.
    """
    pieces: list[str] = []
    run: list[int] = []
    run_is_wide = False

    def flush() -> None:
        if run:
            at = " ".join(number(places[slot]) for slot in run)
            pieces.append(_piece(at, "".join(labels[slot] for slot in run), run_is_wide))
            run.clear()

    labels = [turned(label) for label in labels] if right_to_left else labels
    for slot, label in enumerate(labels):
        if not label:
            continue
        wide = is_wide(label)
        if len(label) > 1 or label > "\uffff":
            flush()
            pieces.append(_piece(number(places[slot]), label, wide))
            continue
        if wide != run_is_wide and label != " ":
            flush()
            run_is_wide = wide
        run.append(slot)
    flush()
    return "".join(pieces)


def _piece(at: str, label: str, is_wide: bool) -> str:
    wide = ' class="wide"' if is_wide else ""
    return f'<tspan{wide} x="{at}">{escape(label)}</tspan>'

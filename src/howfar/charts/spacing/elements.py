"""Pieces of SVG that several parts of a picture use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from howfar.charts.glyphs import is_wide


def number(value: float) -> str:
    """A number, to a tenth of a pixel."""
    return f"{round(float(value), 1):g}" if abs(value) < 99_999 else f"{float(value):.1f}"


def stroke(shade: str, height: float, marks: Iterable[tuple[float, float]], middle: float) -> str:
    """Horizontal bars of one shade as one thick stroke; starts and lengths in pixels."""
    path = "".join(f"M{number(start)} {number(middle)}h{number(length)}" for start, length in marks)
    return f'<path class="{shade}" stroke-width="{number(height)}" d="{path}"/>' if path else ""


def letters(labels: Sequence[str], places: Sequence[float]) -> str:
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
    return f'<tspan{wide} x="{at}">{escape(label, quote=False)}</tspan>'

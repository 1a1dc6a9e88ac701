"""What a page may ask, read from what it sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from howfar.charts.rows import SCALES, Cells
from howfar.charts.spacing.colours import Colour
from howfar.charts.spacing.scales import Rows
from howfar.charts.spacing.svg import View
from howfar.charts.theme import Theme
from howfar.errors import ConfigError, TextError
from howfar.explorer.what_if import LARGEST_FACTOR, Edit

MOST_EDITS = 1000
BESIDE_TEXT = "text"
"""The value of `compare` that means a second text; others are names of models."""


@dataclass(frozen=True)
class Question:
    """A page's question: its texts, models and changed gaps, and what of them is asked.

    Attributes:
        readings: Model and text of what is shown: one, or two beside each other.
        moves: Changed gaps: layer (None for all), number of the cell, factor.
        plain: The layers that advance by plain +1 instead: one, None for all; () for none.
        cells: The selected cell in each reading.
        layer: The layer that is asked about; None for all.
        part: The token within the selected cell, counted from 1.
        only: Whether the selected cell alone is asked about.
        sort: The column by which numbers are sorted, and whether in descending order; None for the text's order.
        page: Number of the page of numbers, from 0.
        view: How the picture is drawn.
        theme: Colours of charts.
    """

    readings: tuple[tuple[str, str], ...]
    moves: tuple[tuple[int | None, int, float], ...] = ()
    plain: tuple[int | None, ...] = ()
    cells: tuple[int, ...] = ()
    layer: int | None = None
    part: int = 1
    only: bool = False
    sort: tuple[str, bool] | None = None
    page: int = 0
    view: View = View()  # noqa: RUF009 - it is frozen
    theme: Theme = "light"

    def edit(self, cells: Cells, at: int | None = None) -> Edit:
        """The changes of a text's increments, seen from a cell, or from the first that is changed.

        Args:
            cells: The text; changes beyond its end are left out.
            at: The cell after which to predict.
        """
        spans = cells.token_spans
        known = [move for move in self.moves if move[1] < len(cells)]
        moved = sorted(known, key=lambda move: (move[1], -1 if move[0] is None else move[0]))
        also = [Edit(spans[cell], factor, layer) for layer, cell, factor in moved]
        also += [Edit(spans[0], 1.0, layer, plain=True) for layer in self.plain]  # last: it overrides the others
        first = min((edit.tokens for edit in also if not edit.is_none), default=spans[self.cell(0, cells)])
        return Edit(first if at is None else spans[at], also=tuple(also))

    def cell(self, reading: int, cells: Cells) -> int:
        """The selected cell of a reading, or its last if the text has become shorter."""
        return min(self.cells[reading] if reading < len(self.cells) else 0, len(cells) - 1)


def question_of(sent: Any) -> Question:
    """Read a question.

    Raises:
        ConfigError: It is not what the page asks.
        TextError: Two models and two texts are asked for.
    """
    if not isinstance(sent, dict):
        raise ConfigError("this is not a question of the page; reload the page")
    given = {name: read(name, sent[name]) for name, read in _READERS.items() if sent.get(name) is not None}
    if not {"model", "text"} <= given.keys():
        raise ConfigError("the question names no model or no text; reload the page")
    readings = [(given.pop("model"), given.pop("text"))]
    other, compare = given.pop("other", ""), given.pop("compare", "")
    if compare == BESIDE_TEXT:
        readings.append((readings[0][0], other))
    elif compare:
        if other:
            raise TextError("two models and two texts are four pictures; choose one model, or remove the second text")
        readings.append((compare, readings[0][1]))
    if compare and (given.get("moves") or given.get("plain")):
        raise ConfigError("a step is moved in one text at a time; compare with nothing")
    return Question(tuple(readings), **given)


def _refuse(name: str) -> ConfigError:
    return ConfigError(f"the question's {name} is none that the page asks; reload the page")


def _a(kind: type | tuple[type, ...], is_right: Callable[[Any], bool] = lambda _: True) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool) or not is_right(value):
            raise _refuse(name)
        return value

    return read


def _count(name: str, value: Any) -> int:
    return int(_a(int, lambda number: 0 <= number < 10**9)(name, value))


def _layer(name: str, value: Any) -> int | None:
    return None if value == "all" else _digits(name, value)


def _digits(name: str, value: Any) -> int:
    return int(_a(str, lambda digits: digits.isdecimal() and len(digits) < 10)(name, value))


def _moves(name: str, value: Any) -> tuple[tuple[int | None, int, float], ...]:
    moves = []
    for key, factor in _a(dict, lambda edits: len(edits) <= MOST_EDITS)(name, value).items():
        layer, _, cell = key.partition(":")
        is_number = isinstance(factor, int | float) and not isinstance(factor, bool) and math.isfinite(factor)
        if not (is_number and 0 <= factor <= LARGEST_FACTOR):
            raise _refuse(name)
        moves.append((_layer(name, layer), _digits(name, cell), float(factor)))
    return tuple(moves)


def _cells(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_count(name, cell) for cell in _a(list, lambda cells: len(cells) <= 2)(name, value))


def _sort(name: str, value: Any) -> tuple[str, bool]:
    column, descending = _a(list, lambda pair: len(pair) == 2)(name, value)
    return _a(str)(name, column), _a(bool)(name, descending)


def _view(name: str, value: Any) -> View:
    known = {"scale": tuple(SCALES), "colour": get_args(Colour), "rows": get_args(Rows)}
    given = {part: _a(dict)(name, value).get(part) for part in known}
    if any(given[part] not in choices for part, choices in known.items()):
        raise _refuse(name)
    return View(**given)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "model": _a(str),
    "compare": _a(str),
    "text": _a(str),
    "other": _a(str),
    "moves": _moves,
    "plain": lambda name, value: (_layer(name, value),),
    "cells": _cells,
    "layer": _layer,
    "part": _count,
    "only": _a(bool),
    "sort": _sort,
    "page": _count,
    "view": _view,
    "theme": _a(str, lambda theme: theme in get_args(Theme)),
}

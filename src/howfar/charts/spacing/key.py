"""The key of a picture: how to read it, shown on a step of this text, and the meaning of the colours."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from howfar.charts.spacing import geometry
from howfar.charts.spacing.colours import SHADES
from howfar.charts.spacing.elements import letters, number, stroke
from howfar.charts.spacing.layout import make_way
from howfar.charts.spacing.scales import short
from howfar.charts.spacing.tiles import Place, is_divided, spaces, tiles

if TYPE_CHECKING:
    from howfar.charts.spacing.svg import Drawing

_LINE = 15.0
_TOP = 40.0  # vertical middle of the sample's tiles
_BESIDE = 2  # tiles on each side of the explained one
UNITS_IN_KEY = {"raw": "plain steps", "shared": "average steps of all layers", "contrast": "average steps as drawn"}


def key_height(drawing: Drawing) -> float:
    """Height of the key."""
    return geometry.KEY_HEIGHT_NARROW if drawing.is_narrow else geometry.KEY_HEIGHT


def key(drawing: Drawing) -> str:
    """A step of this text with its length, how to read it, and the meaning of the colours."""
    margin, narrow = geometry.MARGIN, drawing.is_narrow
    line, slot = _explained(drawing)
    sample, right = _sample(drawing, line, slot)
    text_left, text_top = (margin, 70.0) if narrow else (right + 16, 36.0)
    sentences = "".join(
        f'<text class="note" x="{number(text_left)}" y="{number(text_top + _LINE * index)}">{escape(sentence)}</text>'
        for index, sentence in enumerate(_sentences(drawing))
    )
    legend_left = margin if narrow else drawing.width - margin - SHADES * geometry.SWATCH
    return f'<g class="key">{sample}{sentences}{_legend(drawing, legend_left, 114.0 if narrow else 36.0)}</g>'


def _explained(drawing: Drawing) -> tuple[int, int]:
    """In the least even row, the longest step per token that fits with its neighbours and is not the first."""
    unevenness = [0.0 if line.is_folded else float(((line.ratio - 1) ** 2).sum()) for line in drawing.lines]
    line, layout = unevenness.index(max(unevenness)), drawing.layout
    tokens = drawing.text_of(drawing.lines[line]).tokens
    is_whole = (tokens > 0) & ~layout.is_broken[line]
    lengths = np.where(is_whole, drawing.lines[line].drawn / np.maximum(tokens, 1), -np.inf)
    pixels = np.where(is_whole, np.abs(layout.end[line] - layout.before[line]), 0.0)
    reach = sliding_window_view(np.pad(pixels, _BESIDE), 2 * _BESIDE + 1).sum(axis=1)  # of a tile and its neighbours
    room = drawing.width - 2 * geometry.MARGIN if drawing.is_narrow else geometry.KEY_SHARE * drawing.width
    fitting = np.where(reach <= room, lengths, -np.inf)
    second = int(np.argmax(tokens > 0)) + 1  # nothing is before the first
    if np.isfinite(fitting[second:]).any():
        lengths = fitting
    return line, (int(np.argmax(lengths[second:])) + second if second < len(lengths) else second - 1)


def _sample(drawing: Drawing, line: int, slot: int) -> tuple[str, float]:
    """The explained tile among its neighbours, as long as in the picture, and where they end."""
    layout, row, text = drawing.layout, drawing.lines[line], drawing.text_of(drawing.lines[line])
    end = geometry.MARGIN
    places: list[Place] = []
    labels, middles, bracket = [], [], ""
    towards = -1 if drawing.content.right_to_left else 1
    for near in range(max(0, slot - _BESIDE), min(len(text.labels), slot + _BESIDE + 1))[::towards]:
        length = abs(float(layout.end[line, near] - layout.before[line, near]))
        if length == 0 or (layout.is_broken[line, near] and near != slot):
            continue
        places.append((near, end, length))
        labels.append(text.labels[near])
        middles.append(end - geometry.MARGIN + length / 2)
        if near == slot:
            bracket = f'<path class="bracket" d="M{number(end + 1)} 25v-4h{number(max(length - 2, 0.3))}v4"/>'
        end += length
    widths = drawing.letter_widths[line, [near for near, _, _ in places]]
    at = make_way(np.array(middles), widths, drawing.width - 2 * geometry.MARGIN) + geometry.MARGIN
    unit, num_tokens = UNITS_IN_KEY.get(drawing.view.scale, "average steps"), int(text.tokens[slot])
    how_far = short(float(row.drawn[slot]), 2)
    if how_far == "1":
        unit = unit.replace("steps", "step", 1)
    what = f"this {text.noun}" if text.labels[slot].strip() else "the space"
    plain = "" if drawing.is_narrow else f": {num_tokens} in the plain row"
    many = f" ({num_tokens} {text.unit}s{plain})" if num_tokens > 1 else ""
    said = escape(f"{row.name}: {how_far} {unit} to {what}{many}")
    shown = letters(labels[::towards], at[::towards].tolist(), right_to_left=drawing.content.right_to_left)
    baseline = number(_TOP + geometry.FONT_SIZE * 0.36)
    explained = f'<text class="note" x="{number(geometry.MARGIN)}" y="14">{said}</text>'
    return (
        f"{tiles(drawing, line, places, _TOP)}{spaces(text.labels, places, _TOP)}{bracket}{explained}"
        f'<text class="letters" y="{baseline}">{shown}</text>'
    ), end


def _sentences(drawing: Drawing) -> list[str]:
    noun, unit, is_stretched = drawing.content.noun, drawing.content.unit, drawing.view.scale == "contrast"
    several = any((text.tokens > 1).any() for text in drawing.content.texts)
    if drawing.width < geometry.ROOMY:
        sign = (
            "×: stretch; ±: spread before it"
            if is_stretched
            else f"±: standard deviation over {noun}s, per {unit}"
            if several
            else "±: standard deviation of a row's steps"
        )
        if is_divided(drawing):
            return [f"Width: the step to a {noun}; colour: each {unit}'s.", sign]
        return [f"A tile is as wide as the step to its {noun}.", sign]
    beside = (
        "Rows are stretched to the same spread: × is the factor, ± the standard deviation before it."
        if is_stretched
        else f"Beside each row, per {unit}: mean step in positions; ± standard deviation and histogram over {noun}s."
        if several
        else "Beside each row: its mean step in positions, ± the standard deviation of its steps, and their histogram."
    )
    by_token = f" Its colours are those of its {unit}s." if is_divided(drawing) else ""
    return [f"A {noun}'s tile is as wide as the step to it from the one before.{by_token}", beside]


def _legend(drawing: Drawing, left: float, top: float) -> str:
    """The shades, their quantity, and the labels of the first, the middle and the last."""
    shades = drawing.shades
    width = SHADES * geometry.SWATCH
    swatches = "".join(
        stroke(shades.name(shade), 8, [(left + shade * geometry.SWATCH, geometry.SWATCH)], top)
        for shade in range(SHADES)
    )
    places = ((left, "start"), (left + width / 2, "middle"), (left + width, "end"))
    ends = "".join(
        f'<text class="note" text-anchor="{anchor}" x="{number(x)}" y="{number(top + 17)}">{escape(end)}</text>'
        for (x, anchor), end in zip(places, shades.ends, strict=True)
    )
    x, anchor = (left, "start") if drawing.is_narrow else (left + width, "end")
    title = (
        f'<text class="note" text-anchor="{anchor}" x="{number(x)}" y="{number(top - 9)}">{escape(shades.title)}</text>'
    )
    return swatches + title + ends

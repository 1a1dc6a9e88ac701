"""Tiles of characters of several tokens show each token's step."""

import re

import numpy as np
import pytest

from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.elements import number
from howfar.charts.spacing.svg import Drawing, View
from howfar.charts.spacing.tiles import is_divided
from howfar.positions import IncrementConfig
from support.traces import make_trace

MARK = re.compile(r'<path class="([ts]\d)" stroke-width="24" d="([^"]*)"/>')
STROKE = re.compile(r"M([\d.-]+) [\d.]+h([\d.]+)")


def drawing_of(text, increments, **view):
    trace = make_trace(text, increments, config=IncrementConfig())
    return Drawing(content_of(trace), View(rows="all", **view), 900)


def marks(drawing, row):
    """Left end, length and shade of each mark of a row, from left to right."""
    body = drawing.panel(0).split('<g class="row ')[row + 1]
    found = [
        (float(x), float(length), shade) for shade, path in MARK.findall(body) for x, length in STROKE.findall(path)
    ]
    return sorted(found)


def test_each_byte_is_as_wide_as_its_step():
    drawing = drawing_of("a居b", [1, 3, 1, 0.5, 1])
    (_, _, first), *of_character, (_, _, last) = marks(drawing, 1)
    assert [length / of_character[0][1] for _, length, _ in of_character] == pytest.approx([1, 1 / 3, 1 / 6], abs=0.01)
    assert [shade for _, _, shade in of_character] == ["t8", "t2", "t0"]
    assert first == last == "t2"
    whole = drawing.layout.end[1, 1] - drawing.layout.before[1, 1]
    assert sum(length for _, length, _ in of_character) == pytest.approx(whole - 2.0, abs=0.2)


def test_steps_alike_are_one_mark():
    drawing = drawing_of("a居b", [1, 1, 1, 1, 1])
    assert len(marks(drawing, 1)) == 3


def test_the_plain_row_is_not_divided():
    assert len(marks(drawing_of("a居b", [1, 3, 1, 0.5, 1]), 0)) == 3


@pytest.mark.parametrize("colour", ["rank", "surprisal", "entropy", "kind"])
def test_colours_of_characters_leave_tiles_whole(colour):
    drawing = drawing_of("a居b", [1, 3, 1, 0.5, 1], colour=colour)
    assert len(marks(drawing, 1)) == 3
    assert not is_divided(drawing)


@pytest.mark.parametrize("steps", [[2, 0, 1], [2, -0.5, 1]])
def test_a_step_that_is_not_forward_leaves_the_tile_whole(steps):
    drawing = drawing_of("a居b", [1, *steps, 1])
    assert len(marks(drawing, 1)) == 3


def test_bytes_run_to_the_left_where_the_script_does():
    drawing = drawing_of("اب", [3, 1, 1, 3])
    lengths = [length for _, length, _ in marks(drawing, 1)]
    assert lengths[0] == pytest.approx(3 * lengths[1], rel=0.02)  # the second letter's second byte is leftmost
    assert lengths[3] == pytest.approx(3 * lengths[2], rel=0.02)


def test_contrast_stretches_bytes():
    steps = [1, 1.02, 1, 0.98, 1.01]
    plain, stretched = (drawing_of("a居b", steps, scale=scale) for scale in ("layer-mean", "contrast"))
    assert len(marks(plain, 1)) < len(marks(stretched, 1))


def test_a_gaps_parts_sum_to_it_where_positions_advance_late():
    increments = np.array([0.5, 2, 1, 0.25, 3])
    trace = make_trace("a居b", increments, config=IncrementConfig(advance="after"))
    row = content_of(trace).rows[1]
    assert sum(row.parts[1]) == pytest.approx(row.gaps[1])


def test_the_key_says_what_colours_belong_to():
    assert "Its colours are those of its bytes." in drawing_of("a居b", [1, 3, 1, 0.5, 1]).header()
    assert "bytes." not in drawing_of("abc", [1, 3, 1]).header()


def test_a_space_has_a_dot_where_there_is_room():
    drawing = drawing_of("a b c", [1, 4, 1, 0.1, 1])
    middle = number((drawing.layout.before[1, 1] + drawing.layout.end[1, 1]) / 2)
    dots = re.findall(r'<path class="spaces" d="([^"]*)"/>', drawing.panel(0).split('<g class="row ')[2])
    assert dots == [f"M{middle} {number(drawing.middles[1])}h0"]
    assert 'class="spaces"' not in drawing_of("abc", [1, 1, 1]).panel(0)

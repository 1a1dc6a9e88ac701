import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from howfar.charts.glyphs import width_in_ems
from howfar.charts.layout import FONT_SIZE, MARGIN, SMALLEST_FONT, WIDEST_GAP, lay_out
from howfar.charts.rows import Row

WIDTH = 700.0


def rows(*gaps: list[float]) -> list[Row]:
    return [
        Row(f"layer {i}", "", 1.0, np.cumsum(row), np.array(row, float), np.array(row, np.float32))
        for i, row in enumerate(gaps)
    ]


texts = st.lists(st.sampled_from("ai m居."), min_size=1, max_size=150)


@st.composite
def pictures(draw):
    labels = draw(texts)
    gap = st.floats(-1, 10, width=32) if draw(st.booleans()) else st.floats(0, 10, width=32)
    gaps = [draw(st.lists(gap, min_size=len(labels), max_size=len(labels))) for _ in range(draw(st.integers(1, 3)))]
    return rows([1.0] * len(labels), *gaps), labels


@given(pictures(), st.booleans())
def test_panels_hold_every_cell_once_and_nothing_leaves_the_picture(picture, right_to_left: bool):
    layout = lay_out(*picture, WIDTH, right_to_left=right_to_left)
    edges = [(panel.first, panel.stop) for panel in layout.panels]
    assert [cell for first, stop in edges for cell in range(first, stop)] == list(range(len(picture[1])))
    for places in (layout.x, layout.x_before):
        assert places.min() >= MARGIN
        assert places.max() <= WIDTH - MARGIN + 1e-3
    assert layout.x_glyph.min() >= 0
    assert layout.x_glyph.max() <= WIDTH
    assert layout.y.min() >= 0
    assert layout.y.max() <= layout.height


@given(pictures())
def test_a_ruler_is_as_long_as_its_gap_on_one_scale_for_the_whole_picture(picture):
    layout = lay_out(*picture, WIDTH)
    gaps = np.stack([row.gaps for row in picture[0]])
    lengths = layout.x - layout.x_before
    whole = ~layout.is_broken & (np.abs(gaps) > 0.1)
    if whole.any():
        pixels = lengths[whole] / gaps[whole]
        np.testing.assert_allclose(pixels, pixels[0], rtol=1e-6)
    room = WIDTH - layout.x_before.min() - MARGIN
    np.testing.assert_allclose(np.abs(lengths[layout.is_broken]), WIDEST_GAP * room, rtol=0.2)


@given(pictures())
def test_glyphs_never_overlap_unless_a_row_is_too_full_for_them(picture):
    layout = lay_out(*picture, WIDTH)
    ems = np.array([width_in_ems(label) for label in picture[1]])
    for panel in layout.panels:
        here = slice(panel.first, panel.stop)
        for row in range(len(layout.x)):
            order = np.argsort(layout.x_glyph[row, here], kind="stable")
            widths, x = (ems * layout.font_size[row])[here][order], layout.x_glyph[row, here][order]
            if widths.sum() < WIDTH / 2:
                assert (np.diff(x) >= (widths[1:] + widths[:-1]) / 2 - 1e-6).all()


def test_glyphs_with_room_stand_exactly_at_their_places_at_full_size():
    layout = lay_out(rows([1] * 30, [1.2, 0.8] * 15), ["a"] * 30, WIDTH)
    np.testing.assert_allclose(layout.x_glyph, layout.x)
    assert (layout.font_size == FONT_SIZE).all()


def test_glyphs_without_room_shrink_and_make_way():
    layout = lay_out(rows([1] * 6, [3, 0.01, 0.01, 0.01, 3, 0]), list("abcdef"), WIDTH)
    assert (layout.font_size[1, :4] == SMALLEST_FONT).all()
    assert layout.x_glyph[1, 0] < layout.x[1, 0] < layout.x[1, 3] < layout.x_glyph[1, 3]


def test_one_huge_gap_does_not_squeeze_the_rest():
    layout = lay_out(rows([1] * 40, [1] * 20 + [500] + [1] * 19), ["a"] * 40, WIDTH)
    assert np.argwhere(layout.is_broken).tolist() == [[1, 20]]
    assert (layout.font_size == FONT_SIZE).all()


def test_a_short_text_is_one_panel_and_a_long_one_breaks_after_words():
    assert len(lay_out(rows([1] * 20), ["a"] * 20, WIDTH).panels) == 1
    labels = list("word␣" * 100)
    panels = lay_out(rows([1] * 500), labels, WIDTH).panels
    assert len(panels) > 3
    assert {labels[panel.stop - 1] for panel in panels} == {"␣"}


def test_right_to_left_is_the_mirror_image():
    picture = rows([1, 2, 3]), list("abc")
    left, right = lay_out(*picture, WIDTH), lay_out(*picture, WIDTH, right_to_left=True)
    sums = left.x + right.x
    np.testing.assert_allclose(sums, sums[0, 0])


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e6])
def test_one_character_of_any_gap_can_be_drawn(gap: float):
    layout = lay_out(rows([1], [gap]), ["x"], WIDTH)
    assert np.isfinite(layout.x).all()
    assert len(layout.panels) == 1

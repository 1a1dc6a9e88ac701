import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from howfar.charts.glyphs import width_in_ems
from howfar.charts.spacing.geometry import FONT_SIZE, GUTTER, MARGIN, WIDEST_GAP
from howfar.charts.spacing.layout import Layout, lay_out

WIDTH = 700.0
ROOM = WIDTH - GUTTER - MARGIN


def laid_out(picture, **options) -> Layout:
    drawn, labels = picture
    widths = [FONT_SIZE * width_in_ems(label) if label.strip() else 0.0 for label in labels]
    pauses = [label == " " for label in labels]
    return lay_out(np.array(drawn, float), np.array([widths] * len(drawn)), pauses, WIDTH, **options)


texts = st.lists(st.sampled_from("ai m居."), min_size=1, max_size=150)


@st.composite
def pictures(draw):
    labels = draw(texts)
    step = st.floats(-1, 10, width=32) if draw(st.booleans()) else st.floats(0, 10, width=32)
    steps = [draw(st.lists(step, min_size=len(labels), max_size=len(labels))) for _ in range(draw(st.integers(1, 3)))]
    return [[1.0] * len(labels), *steps], labels


@given(pictures(), st.booleans())
def test_panels_hold_every_slot_once_and_nothing_leaves_the_picture(picture, right_to_left: bool):
    layout = laid_out(picture, right_to_left=right_to_left)
    assert [slot for panel in layout.panels for slot in range(panel.first, panel.stop)] == list(range(len(picture[1])))
    for places in (layout.before, layout.end):
        assert places.min() >= GUTTER - 1e-3
        assert places.max() <= WIDTH - MARGIN + 1e-3
    widest = FONT_SIZE / 2
    assert layout.letters.min() >= GUTTER - MARGIN - 1e-3
    assert layout.letters.max() <= WIDTH + widest or layout.letters.shape[1] > WIDTH / FONT_SIZE


@given(pictures())
def test_a_tile_is_as_long_as_its_step_on_one_scale_for_the_whole_picture(picture):
    layout, drawn = laid_out(picture), np.array(picture[0])
    lengths = layout.end - layout.before
    np.testing.assert_allclose(lengths[~layout.is_broken], (drawn * layout.scale)[~layout.is_broken], atol=1e-6)
    np.testing.assert_allclose(np.abs(lengths[layout.is_broken]), WIDEST_GAP * ROOM)


@given(pictures())
def test_letters_never_overlap_unless_a_row_is_too_full_for_them(picture):
    layout = laid_out(picture)
    widths = FONT_SIZE * np.array([width_in_ems(label) for label in picture[1]])
    there = np.array([bool(label.strip()) for label in picture[1]])
    for panel in layout.panels:
        here = np.flatnonzero(there[panel.first : panel.stop]) + panel.first
        for places in layout.letters:
            order = here[np.argsort(places[here], kind="stable")]
            if widths[order].sum() < ROOM:
                assert (np.diff(places[order]) >= (widths[order][1:] + widths[order][:-1]) / 2 - 1e-6).all()


def test_letters_with_room_stand_exactly_in_the_middle_of_their_tiles():
    layout = laid_out(([[1] * 30, [1.2, 0.8] * 15], ["a"] * 30))
    np.testing.assert_allclose(layout.letters, (layout.before + layout.end) / 2)


def test_letters_without_room_make_way():
    layout = laid_out(([[1] * 6, [3, 0.01, 0.01, 0.01, 3, 0]], list("abcdef")))
    middles = (layout.before + layout.end) / 2
    assert layout.letters[1, 1] < middles[1, 1] < middles[1, 3] < layout.letters[1, 3]


def test_one_huge_step_does_not_squeeze_the_rest():
    layout = laid_out(([[1] * 40, [1] * 20 + [500] + [1] * 19], ["a"] * 40))
    assert np.argwhere(layout.is_broken).tolist() == [[1, 20]]
    assert layout.scale > FONT_SIZE / 2


def test_a_short_text_is_one_panel_and_a_long_one_breaks_after_words():
    assert len(laid_out(([[1] * 20], ["a"] * 20)).panels) == 1
    labels = list("word " * 100)
    panels = laid_out(([[1] * 500], labels)).panels
    assert len(panels) > 3
    assert {labels[panel.stop - 1] for panel in panels} == {" "}


def test_a_few_panels_are_about_equally_long():
    lengths = [panel.stop - panel.first for panel in laid_out(([[1] * 130], ["a"] * 130)).panels]
    assert len(lengths) > 1
    assert min(lengths) > 0.6 * max(lengths)


def test_right_to_left_is_the_mirror_image():
    picture = [[1, 2, 3]], list("abc")
    sums = laid_out(picture).end + laid_out(picture, right_to_left=True).end
    np.testing.assert_allclose(sums, sums[0, 0])


@pytest.mark.parametrize("step", [0.0, 1e-12, 1e6])
def test_one_character_of_any_step_can_be_drawn(step: float):
    layout = laid_out(([[1], [step]], ["x"]))
    assert np.isfinite(layout.end).all()
    assert len(layout.panels) == 1

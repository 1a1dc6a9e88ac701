import numpy as np
import polars as pl
import pytest

import howfar
from howfar.charts.rows import Cells, rows_of
from howfar.charts.what_if import gap_changes, loss_changes
from howfar.explorer.what_if import Edit

TEXT = "Ada wrote 图书馆 in 1843."


@pytest.fixture
def cells(inference):
    return Cells.of(inference.trace("tiny", TEXT))


def test_without_an_edit_nothing_changes_and_numbers_are_those_of_the_trace(inference, cells):
    result = inference.what_if("tiny", TEXT, Edit((4, 5)))
    assert result.before is result.after
    np.testing.assert_array_equal(result.before.surprisal_nats[1:], cells.trace.surprisal_nats)
    np.testing.assert_array_equal(result.before.increments[..., 1:], cells.trace.increments)


def test_an_edit_is_undone_exactly(inference):
    before = inference.what_if("tiny", TEXT, Edit((4, 5)))
    edited = inference.what_if("tiny", TEXT, Edit((4, 5), 3.0))
    again = inference.what_if("tiny", TEXT, Edit((4, 5)))
    assert not np.array_equal(edited.after.predictions[4], before.after.predictions[4])
    np.testing.assert_array_equal(again.after.predictions[4], before.after.predictions[4])


def test_multiplying_by_one_in_the_model_changes_no_bit(inference, model_folder):
    model = howfar.load(model_folder)
    expected = howfar.trace(model, TEXT)
    with howfar.override(model, lambda layer, increments: increments * 1.0):
        np.testing.assert_array_equal(howfar.trace(model, TEXT).surprisal_nats, expected.surprisal_nats)


def test_a_gap_is_widened_in_its_layer_alone_and_nothing_before_it_moves(inference, cells):
    result = inference.effects("tiny", TEXT, Edit((4, 5), 3.0, layer=1))
    before, after = result.own.increments, result.moved.increments
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[1, :, 4], 3 * before[1, :, 4], rtol=1e-6)
    np.testing.assert_array_equal(after[..., :4], before[..., :4])
    gaps = result.gaps(cells)
    assert gaps.filter(gaps["change"] != 0)["cell"].min() == 4
    assert gaps.filter(gaps["layer"] == 2)["change"].abs().max() > 0  # downstream increments answer


def test_the_gap_that_is_widened_is_the_one_that_the_picture_shows(of_either_advance):
    cells, layer = Cells.of(of_either_advance.trace("tiny", TEXT)), 1
    drawn = rows_of(cells)[layer].gaps
    for cell in (0, 4, cells.texts.index("图")):
        effects = of_either_advance.effects("tiny", TEXT, Edit(tuple(cells.token_spans[cell]), 3.0, layer=layer))
        gaps = effects.gaps(cells)
        own = gaps.filter(gaps["layer"] == layer)
        np.testing.assert_allclose(own["before"], drawn, rtol=1e-5)
        np.testing.assert_allclose(own["after"][cell], 3 * drawn[cell], rtol=1e-5)
        np.testing.assert_allclose(own["after"][:cell], drawn[:cell], rtol=1e-5)


def test_plain_sets_a_layer_to_ones(inference):
    result = inference.effects("tiny", TEXT, Edit((0, 1), layer=1, plain=True))
    assert (result.moved.increments[1] == 1).all()
    assert (result.moved.mark_increments[1] == 1).all()
    np.testing.assert_array_equal(result.moved.increments[0], result.own.increments[0])


def test_tables_name_the_tokens_that_follow_and_what_comes_next(inference, cells):
    span = cells.token_spans[cells.texts.index("图")]
    result = inference.what_if("tiny", TEXT, Edit(span, 0.0))
    losses = inference.effects("tiny", TEXT, Edit(span, 0.0)).losses(cells)
    assert b"".join(losses["bytes"]) == "书馆 in 1843.".encode()
    assert cells.texts[losses["cell"][0]] == "书"
    np.testing.assert_allclose(losses["change"], losses["after"] - losses["before"], atol=1e-6)
    np.testing.assert_allclose(result.before.predictions[span[1] - 1].sum(), 1, rtol=1e-5)
    assert len(result.before.predictions[span[1] - 1]) == 257


def test_predictions_are_the_same_whether_all_are_kept_or_one(inference, cells, monkeypatch):
    span = cells.token_spans[6]
    kept = inference.what_if("tiny", TEXT, Edit(span))
    monkeypatch.setattr("howfar.explorer.passages.MAX_PREDICTIONS", 0)
    one = inference.what_if("tiny", TEXT, Edit(span)).before.predictions
    assert len(kept.before.predictions) == len(cells.trace)
    assert list(one) == [span[1] - 1]
    np.testing.assert_allclose(kept.before.predictions[span[1] - 1], one[span[1] - 1], rtol=1e-5)


@pytest.mark.parametrize("at", [0, 200, 499])
def test_in_a_long_text_the_passage_around_the_gap_is_read(inference, at):
    passage = inference.what_if("tiny", "abcdefghij" * 50, Edit((at, at + 1), 2.0)).before.passage
    assert len(passage) == 64
    assert passage.start <= at + 1 < passage.stop  # the document mark is token 0


@pytest.mark.parametrize("at", [0, 55, 62, 63, 107, 200, 498, 499])
def test_effects_are_those_of_the_characters_that_are_read_after_the_gap(of_either_advance, at):
    text, edit = "abcdefghij" * 50, Edit((at, at + 1), 8.0)
    effects = of_either_advance.effects("tiny", text, edit)
    losses, windows = effects.losses(Cells.of(effects.own)), [before.passage for before, _ in effects.readings]
    assert 1 <= len(windows) <= 2
    assert all(window.start <= at < at + 1 < window.stop for window in windows)
    assert losses["token"].to_list() == list(range(at + 1, min(windows[-1].stop, 501) - 1))
    assert b"".join(losses["bytes"]).decode() == text[at + 1 : windows[-1].stop - 1]


def test_effects_are_counted_in_characters(inference, cells):
    effects = inference.effects("tiny", TEXT, Edit(cells.token_spans[cells.texts.index("图")], 8.0))
    assert effects.losses(cells)["cell"].n_unique() == 11  # of 15 bytes


def test_charts_tell_what_lies_outside_them():
    cells, zeros = np.arange(300), np.zeros(300)
    losses = pl.DataFrame({"token": cells, "label": "a", "before": zeros, "after": zeros, "change": zeros + 0.5})
    told = loss_changes(losses.with_columns(tick=pl.lit("a"))).description
    assert "each of the 300 tokens that follow an edited gap (the first 120 are drawn); in total +150.0000 nats" in told
    gaps = pl.DataFrame({"layer": 0, "head": 0, "cell": cells, "label": "a", "before": zeros, "after": zeros})
    gaps = gaps.with_columns(change=pl.when(pl.col("cell") > 250).then(1.0).otherwise(0.0))
    told = gap_changes(gaps, 100).description
    assert told.endswith("(120 around it are drawn); outside the edited gap at most 1 positions.")

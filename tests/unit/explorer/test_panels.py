"""What the panels below the picture are told."""

import numpy as np
import polars as pl
import pytest

import howfar
from howfar.charts.spacing.svg import View
from howfar.errors import ConfigError, NoIncrementsError
from howfar.explorer.panels import PANELS, Document, panel, spacing_of
from howfar.explorer.question import Question

TEXT = "Ada wrote 图书馆."


def document(inference, *, model="tiny", **question):
    return Document(inference, Question(((model, TEXT),), **question))


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_has_numbers_and_something_to_show(inference, name):
    found = panel(document(inference, cells=(4,), moves=((None, 4, 2.0),)), name)
    assert found.said
    assert found.pictures or found.table


def test_there_is_no_other_panel(inference):
    with pytest.raises(ConfigError, match=r"there is no panel 'x{40}'; the panels are what-if, attention"):
        panel(document(inference), "x" * 100)


def test_without_a_change_only_the_prediction_is_shown(inference):
    found = panel(document(inference, cells=(10,)), "what-if")
    assert found.said == {"label": "图", "isMoved": False}
    assert list(found.pictures) == ["predictions"]
    assert '"after"' not in str(found.pictures["predictions"].chart.to_dict()["datasets"])
    assert "before" not in found.pictures["predictions"].description


def test_effects_are_those_after_the_first_changed_step(inference):
    found = panel(document(inference, cells=(12,), moves=((1, 12, 2.0), (None, 10, 4.0))), "what-if")
    assert (found.said["label"], found.said["numFollowing"]) == ("馆", 3)
    assert found.said["where"] == {"noun": "character", "first": 10, "selected": 12, "isPart": False}
    assert list(found.pictures) == ["predictions", "losses", "gaps"]


def test_numbers_and_saved_pictures_have_the_moved_steps(inference, model_folder):
    def changed(layer, steps):
        steps = steps.clone()
        steps[..., 3] *= 4 if layer == 1 else 1  # the mark is token 0
        return steps

    model = howfar.load(model_folder)
    with howfar.override(model, changed):
        wanted = howfar.trace(model, TEXT)
    own = inference.trace("tiny", TEXT)
    found = document(inference, cells=(0,), moves=((1, 2, 4.0),))
    assert found.moved.table().equals(wanted.table())
    assert not found.moved.table().equals(own.table())
    said = panel(found, "numbers")
    assert said.said["isMoved"]
    assert pl.read_parquet(said.saved["parquet"]()).equals(wanted.table())
    saved = spacing_of(inference, found.question).content
    np.testing.assert_allclose(saved.rows[2].gaps[2], 4 * howfar.spacing(own).content.rows[2].gaps[2], rtol=1e-4)
    caption = "One step is changed: the step to “a” (character 3) is multiplied by 4 in layer 1."
    assert saved.captions[0] == caption
    assert caption in saved.description


def test_attention_is_that_of_the_moved_steps(inference):
    moved, own = (
        panel(document(inference, cells=(12,), moves=moves), "attention").said["own"]
        for moves in (((None, 3, 8.0),), ())
    )
    assert moved != own


def test_plain_steps_change_all(inference):
    found = panel(document(inference, cells=(0,), plain=(None,)), "what-if")
    assert found.said["isMoved"]
    assert found.said["hasOtherGaps"]


def test_attention_stays_within_the_text_and_its_mark(inference):
    found = panel(document(inference, cells=(3,), layer=1), "attention").said
    assert (found["label"], found["layer"], found["unit"]) == ("␣", 1, "byte")
    assert 0 < found["own"] + found["mark"] <= 1


def test_the_attention_of_a_layer_that_a_model_lacks_is_refused(inference):
    with pytest.raises(ConfigError, match="there is no layer 9 with positions of its own; choose from 0, 1, 2"):
        panel(document(inference, layer=9), "attention")


def test_numbers_come_by_pages_and_sorted(inference):
    first = panel(document(inference), "numbers")
    assert first.said["numRows"] == 3 * len(TEXT.encode())
    assert len(first.table) == 1 + 20
    last = panel(document(inference, page=99), "numbers")
    assert (last.said["page"], last.said["numPages"]) == (2, 3)
    assert last.table[0] == first.table[0]
    assert last.table[1] != first.table[1]
    column = first.table[0].index("increment")
    largest = panel(document(inference, sort=("increment", True)), "numbers").table[1][column]
    assert float(largest) == pytest.approx(inference.trace("tiny", TEXT).increments.max())
    assert panel(document(inference, sort=("no such column", True)), "numbers").table == first.table


def test_numbers_of_one_character_are_those_of_its_tokens(inference):
    found = panel(document(inference, cells=(10,), only=True), "numbers")
    assert found.said["numRows"] == 3 * len("图".encode())


def test_a_plain_model_has_no_context_and_says_so(inference):
    with pytest.raises(NoIncrementsError):
        panel(document(inference, model="plain"), "context")


def test_the_token_within_a_character_is_chosen(inference):
    labels = [panel(document(inference, cells=(10,), part=part), "context").said["label"] for part in (1, 2, 3, 9)]
    assert labels == ["E5…", "…9B…", "…BE…", "…BE…"]


def test_the_saved_picture_is_the_one_that_is_drawn(inference):
    question = Question((("tiny", TEXT), ("plain", TEXT)), view=View("raw", "difference", "all"), theme="dark")
    picture = spacing_of(inference, question)
    assert picture.content.title == "How tiny (A) and plain (B) space this text"
    assert picture.view == question.view
    np.testing.assert_array_equal(picture.content.rows[1].gaps > 0, True)

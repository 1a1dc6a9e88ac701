"""What the picture in the explorer is told when a gap of it is moved."""

import json

import numpy as np
import pytest

import howfar
from howfar.charts.rows import Cells
from howfar.charts.spacing.build import content_of
from howfar.explorer.live import LiveSpacing
from howfar.explorer.what_if import Edit

TEXT = "Ada wrote 图书馆."


@pytest.fixture
def live(inference):
    widget = LiveSpacing(inference, "light", 2)
    widget.show("tiny", inference.trace("tiny", TEXT), "layer-mean", "gap")
    return widget


def said_to(widget, message):
    """What the page is told after it has sent a message."""
    sent = []
    widget.send = sent.append
    widget._handle_custom_msg(message, [])
    return sent


def ask(widget, **question):
    revision = json.loads(widget.picture)["revision"]
    asked = {"cell": 10, "factor": 3.0, "layer": 1, "plain": False, "revision": revision, "when": 5.5, **question}
    (answer,) = said_to(widget, {"asked": asked})
    return json.loads(answer["told"])


def test_a_gap_grows_in_its_layer_and_those_downstream_answer(live, inference):
    content = json.loads(live.picture)["content"]
    told = ask(live)
    rows = {row["name"]: index for index, row in enumerate(content["rows"])}
    before, after = (
        {name: np.array(gaps) for name, gaps in side.items()}
        for side in (
            {name: content["rows"][index]["gaps"] for name, index in rows.items() if name != "plain"},
            {name: told["gaps"][str(index)] for name, index in rows.items() if name != "plain"},
        )
    )
    np.testing.assert_allclose(after["layer 1"][10], 3 * before["layer 1"][10], rtol=1e-4)
    np.testing.assert_allclose(after["layer 0"], before["layer 0"], rtol=1e-4)
    np.testing.assert_allclose(after["layer 2"][:10], before["layer 2"][:10], rtol=1e-4)
    cells = Cells.of(inference.trace("tiny", TEXT))
    wanted = inference.what_if("tiny", TEXT, Edit(cells.token_spans[10], 3.0, 1)).losses(cells)
    assert sum(one["change"] for one in told["losses"]) == pytest.approx(wanted["change"].sum())
    assert [one["label"] for one in told["losses"]] == list("书馆.")
    assert told["hasMore"] is False


def test_unchanged_nothing_is_told_but_what_is_expected(live):
    assert set(ask(live, factor=1.0)) == {"expected", "when", "revision"}


@pytest.mark.parametrize(
    "question", [{"cell": 99}, {"cell": -1}, {"cell": "1"}, {"factor": 1e9}, {"layer": "x"}, {"revision": 77}]
)
def test_what_no_page_asks_is_not_answered(live, question):
    assert set(ask(live, **question)) == {"when", "revision"}


@pytest.mark.parametrize(
    "message", ["{", [], {}, None, {"asked": "null"}, {"asked": {}}, {"typed": 7}, {"typed": None}]
)
def test_damaged_messages_are_passed_over(live, message):
    before = live.picture
    assert said_to(live, message) == []
    assert live.picture == before


def test_a_character_is_written_behind_the_text(live):
    told = ask(live, text="Ada wrote", factor=1.0)
    assert told["text"].startswith("Ada wrote")
    assert "".join(told["content"]["texts"][0]["labels"]).startswith("Ada wrote")


def type_text(widget, text):
    """The picture after a text was sent that is being typed."""
    assert said_to(widget, {"typed": text}) == [{"isDrawn": True}]
    return json.loads(widget.picture)


def test_a_typed_text_is_drawn_with_the_numbers_of_a_trace(live, model_folder):
    sent = type_text(live, "Ada wrote 图书馆. And")
    wanted = content_of(howfar.trace(howfar.load(model_folder), "Ada wrote 图书馆. And"), "layer-mean")
    assert sent["text"] == "Ada wrote 图书馆. And"
    assert sent["content"]["rows"] == json.loads(json.dumps(wanted.json()["rows"]))
    assert sent["content"]["texts"] == json.loads(json.dumps(wanted.json()["texts"]))


def test_the_page_finds_a_typed_text_already_drawn(live, inference):
    revision = type_text(live, "Ada")["revision"]
    live.show("tiny", inference.trace("tiny", "Ada"), "layer-mean", "gap")
    assert json.loads(live.picture)["revision"] == revision


@pytest.mark.parametrize("text", ["", "x" * 60_000, "\ud800"])
def test_a_typed_text_that_cannot_be_read_is_left_to_the_page(live, text):
    before = live.picture
    type_text(live, text)
    assert live.picture == before


def test_filling_the_boxes_twice_with_one_text_tells_the_page_twice(live):
    told = []
    live.observe(lambda change: told.append(json.loads(change.new)), "filled")
    for _ in range(2):
        live.fill("a text", "")
    assert [one["texts"] for one in told] == [{"Text": "a text", "Second text": ""}] * 2
    assert "gaps" in ask(live)  # the picture is the same until the page has typed the text

"""Only what the page asks is answered."""

import pytest

from howfar.charts.rows import Cells
from howfar.charts.spacing.svg import View
from howfar.errors import ConfigError, TextError
from howfar.explorer.question import question_of
from howfar.explorer.what_if import Edit

ASKED = {"model": "tiny", "text": "one"}


def test_what_the_page_asks_is_read():
    view = {"scale": "raw", "colour": "rank", "rows": "all"}
    asked = {**ASKED, "compare": "", "moves": {"all:2": 0, "1:0": 2.5}, "plain": "1", "cells": [2], "view": view}
    question = question_of({**asked, "layer": "all", "part": 2, "only": True, "page": 3, "sort": ["layer", False]})
    assert question.readings == (("tiny", "one"),)
    assert question.moves == ((None, 2, 0.0), (1, 0, 2.5))
    assert (question.plain, question.cells, question.layer) == ((1,), (2,), None)
    assert (question.part, question.only, question.page, question.sort) == (2, True, 3, ("layer", False))
    assert question.view == View("raw", "rank", "all")


@pytest.mark.parametrize(
    ("more", "readings"),
    [
        ({"compare": "text", "other": "two"}, (("tiny", "one"), ("tiny", "two"))),
        ({"compare": "other"}, (("tiny", "one"), ("other", "one"))),
        ({"compare": "", "other": "kept by the page"}, (("tiny", "one"),)),
        ({"unknown": 1, "__class__": 2}, (("tiny", "one"),)),
    ],
)
def test_two_models_or_two_texts_are_two_readings(more, readings):
    assert question_of({**ASKED, **more}).readings == readings


def test_two_models_and_two_texts_are_refused():
    message = "two models and two texts are four pictures; choose one model, or remove the second text"
    with pytest.raises(TextError, match=message):
        question_of({**ASKED, "compare": "other", "other": "two"})


@pytest.mark.parametrize("moved", [{"moves": {"all:0": 4}}, {"plain": "1"}])
@pytest.mark.parametrize("beside", [{"compare": "other"}, {"compare": "text", "other": "two"}])
def test_no_step_is_moved_while_readings_are_compared(beside, moved):
    with pytest.raises(ConfigError, match="a step is moved in one text at a time; compare with nothing"):
        question_of({**ASKED, **beside, **moved})


@pytest.mark.parametrize("sent", [None, [], "x", 3, {}, {"model": "tiny"}, {"text": "one"}])
def test_what_is_no_question_is_refused(sent):
    with pytest.raises(ConfigError, match="; reload the page"):
        question_of(sent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 3),
        ("model", ["tiny"]),
        ("moves", []),
        ("moves", {"0:1": float("inf")}),
        ("moves", {"0:1": 17}),
        ("moves", {"0:1": -0.1}),
        ("moves", {"0:1": True}),
        ("moves", {"0:1": "2"}),
        ("moves", {"-1:1": 2}),
        ("moves", {"0": 2}),
        ("moves", {"0:" + "9" * 5000: 2}),
        ("moves", {f"0:{number}": 2 for number in range(1001)}),
        ("plain", 1),
        ("cells", [-1]),
        ("cells", [True]),
        ("cells", [1, 2, 3]),
        ("layer", "x"),
        ("part", 1.5),
        ("only", 1),
        ("sort", ["layer"]),
        ("sort", ["layer", 1]),
        ("page", -1),
        ("view", {"scale": "<script>", "colour": "gap", "rows": "all"}),
        ("view", {"scale": ["raw"], "colour": "gap", "rows": "all"}),
        ("view", "raw"),
        ("theme", "blue"),
    ],
)
def test_what_no_page_asks_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"the question's {name} is none that the page asks; reload the page"):
        question_of({**ASKED, name: value})


def test_changes_beyond_the_text_are_left_out(inference):
    cells = Cells.of(inference.trace("tiny", "图书"))
    question = question_of({"model": "tiny", "text": "图书", "moves": {"0:9": 2, "all:1": 3}, "cells": [0]})
    assert question.edit(cells) == Edit((3, 6), also=(Edit((3, 6), 3.0),))
    assert question.edit(cells, 0) == Edit((0, 3), also=(Edit((3, 6), 3.0),))
    assert question.cell(0, cells) == 0
    assert question_of({"model": "tiny", "text": "图书", "cells": [7]}).cell(0, cells) == 1

"""What the picture is told when it is drawn, when a gap of it is moved, and when the model writes."""

import json

import numpy as np
import pytest

import howfar
from howfar.charts.rows import Cells
from howfar.charts.spacing.build import content_of
from howfar.errors import ConfigError
from howfar.explorer.answers import effects, expected, read, written
from howfar.explorer.question import question_of
from howfar.explorer.what_if import Edit
from howfar.reading.reader import Reader

TEXT = "Ada wrote 图书馆."
LONG = "Ada wrote it. " * 20  # the model reads 64 tokens at once


def asked(text=TEXT, **more):
    return question_of({"model": "tiny", "text": text, "cells": [10], **more})


def test_the_numbers_are_those_of_a_trace(inference, model_folder):
    answer = json.loads(json.dumps(read(inference, asked())))
    wanted = json.loads(json.dumps(content_of(howfar.trace(howfar.load(model_folder), TEXT)).json()))
    assert answer["content"] == {**wanted, "captions": [], "description": ""}  # words are the page's
    assert answer["ends"] == list(range(1, len(TEXT) + 1))
    assert answer["numTokens"] == len(TEXT.encode())


def test_a_gap_grows_in_its_layer_and_those_downstream_answer(inference):
    question = asked(moves={"1:10": 3})
    answer = effects(inference, question)
    rows = [row for row in read(inference, question)["content"]["rows"] if not row["isPlain"]]
    before = [np.array(row["gaps"]) for row in rows]
    after = [np.array(row["gaps"]) for row in answer["content"]["rows"] if not row["isPlain"]]
    np.testing.assert_allclose(after[1][10], 3 * before[1][10], rtol=1e-4)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-4)
    np.testing.assert_allclose(after[2][:10], before[2][:10], rtol=1e-4)
    cells = Cells.of(inference.trace("tiny", TEXT))
    wanted = inference.effects("tiny", TEXT, Edit(cells.token_spans[10], 3.0, 1)).losses(cells)
    assert sum(one["change"] for one in answer["losses"]) == pytest.approx(wanted["change"].sum())
    assert [one["label"] for one in answer["losses"]] == list("书馆.")
    assert (answer["first"], answer["isPart"]) == (10, False)


def trace_with(folder, changed, text=TEXT):
    model = howfar.load(folder)
    with howfar.override(model, changed):
        return howfar.trace(model, text)


def test_what_is_drawn_of_moved_steps_is_what_the_model_was_given(inference, model_folder):
    def changed(layer, steps):
        steps = steps.clone()
        steps[..., 11:14] *= 2 * (1.5 if layer == 1 else 1)  # the mark is token 0; the character has three
        return steps

    content = effects(inference, asked(moves={"all:10": 2, "1:10": 1.5}))["content"]
    wanted = content_of(trace_with(model_folder, changed)).json()
    assert content["texts"] == wanted["texts"]
    assert [(row["gaps"], row["parts"]) for row in content["rows"]] == [
        (row["gaps"], row["parts"]) for row in wanted["rows"]
    ]
    for row in content["rows"][1:]:
        assert sum(row["parts"][10]) == pytest.approx(row["gaps"][10], rel=1e-2)
    own = read(inference, asked())["content"]
    assert [row["mean"] for row in content["rows"]] == [row["mean"] for row in own["rows"]]
    assert content["moves"] == {"all:10": 2, "1:10": 1.5}


def read_in_windows(folder, text, moved):
    """A trace's windows one by one: each token's surprisal and steps with factors of some steps, by token."""
    reader = Reader(howfar.load(folder))
    tokens = reader.tokenize(text).tokens
    surprisal, steps = np.zeros(len(tokens)), np.zeros((len(reader.layers), len(tokens)))
    followed = set()
    for window in reader.cover(tokens):

        def changed(layer, own, window=window):
            own = own.clone()
            for token, factor in moved.items():
                if window.start <= token + 1 < window.stop:
                    own[..., token + 1 - window.start] *= factor  # the mark is token 0
            return own

        with howfar.override(reader.model, changed):
            reading = reader.read_together([window], "losses", "increments")
        surprisal[window.kept_from : window.stop] = reading.surprisal_nats[0, window.kept]
        for layer, own in enumerate(reading.increments.values()):
            steps[layer, window.kept_from : window.stop] = own[0, 0, window.kept]
        begins = min((token + 1 for token in moved if window.start <= token < window.stop), default=window.stop)
        followed |= set(range(max(begins, window.kept_from - 1), window.stop - 1))
    return surprisal[1:], steps[:, 1:], sorted(followed)


@pytest.mark.parametrize(
    "moved", [{100: 4}, {10: 4, 200: 4}, {3: 0.5, 60: 2, 270: 4}, {250: 8, 20: 0, 63: 3, 64: 3}, {116: 4}, {115: 4}]
)
def test_all_moved_steps_of_a_long_text_are_read_as_a_trace_reads_them(inference, model_folder, moved):
    own = read(inference, asked(LONG))["content"]
    answer = effects(inference, asked(LONG, moves={f"all:{token}": factor for token, factor in moved.items()}))
    was, _, _ = read_in_windows(model_folder, LONG, {})
    wanted, steps, followed = read_in_windows(model_folder, LONG, moved)
    text, unread = answer["content"]["texts"][0], sorted(set(range(len(LONG))) - set(followed))
    np.testing.assert_allclose(text["surprisal"], wanted[: len(text["surprisal"])], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose([row["gaps"] for row in answer["content"]["rows"][1:]], steps, rtol=1e-4, atol=1e-5)
    assert [text["surprisal"][token] for token in unread] == [own["texts"][0]["surprisal"][token] for token in unread]
    assert sum(one["change"] for one in answer["losses"]) == pytest.approx((wanted - was).sum(), abs=1e-4)
    assert len(answer["losses"]) == len(followed)
    assert answer["first"] == min(moved)
    assert answer["isPart"] is (len(followed) < len(LONG) - 1 - min(moved))


def test_plain_steps_are_plain_in_the_whole_text(inference):
    content = effects(inference, asked(LONG, plain="1", moves={"1:3": 2, "0:3": 2}))["content"]
    rows = {row["name"]: row["gaps"] for row in content["rows"]}
    assert rows["layer 1"] == rows["plain"]
    assert rows["layer 2"] != rows["plain"]


def test_plain_steps_change_what_follows_the_first_in_the_whole_text(inference):
    answer, own = effects(inference, asked(LONG, plain="all")), read(inference, asked(LONG))["content"]
    assert (answer["first"], len(answer["losses"]), answer["isPart"]) == (0, len(LONG) - 1, False)
    before, after = (content["texts"][0]["surprisal"] for content in (own, answer["content"]))
    assert all(one != other for one, other in zip(before[2:], after[2:], strict=True))


def test_several_changes_are_made_at_once(inference, model_folder):
    answer = effects(inference, asked(moves={"0:2": 2, "all:4": 0.5}))
    model = howfar.load(model_folder)

    def changed(layer, steps):
        steps = steps.clone()
        steps[..., 5] *= 0.5
        if layer == 0:
            steps[..., 3] *= 2
        return steps

    with howfar.override(model, changed):
        wanted = content_of(howfar.trace(model, TEXT))
    for index, row in enumerate(wanted.rows):
        if not row.is_plain:
            np.testing.assert_allclose(answer["content"]["rows"][index]["gaps"], row.gaps, rtol=1e-4)
    assert len(answer["losses"]) == len(TEXT) - 3


@pytest.mark.parametrize("moves", [{"1:10": 1}, {"1:99": 3}])
def test_without_a_change_nothing_changes(inference, moves):
    rows = read(inference, asked())["content"]["rows"]
    answer = effects(inference, asked(moves=moves))
    assert answer["content"]["rows"] == rows
    assert answer["content"]["moves"] == {}
    assert (answer["losses"], answer["first"]) == ([], None)


def test_ends_are_places_in_the_pages_text(inference):
    assert read(inference, asked(text="😀a👩‍🔬b"))["ends"] == [2, 3, 8, 9]


def test_two_readings_are_aligned_and_nothing_is_moved(inference):
    answer = read(inference, asked(compare="text", other="Ada wrote a 馆."))
    assert len(answer["content"]["texts"]) == 2


def test_what_is_expected_stands_after_the_selected_character(inference):
    found = expected(inference, asked(moves={"all:10": 8}))["expected"]
    cells = Cells.of(inference.trace("tiny", TEXT))
    wanted = inference.what_if("tiny", TEXT, Edit(cells.token_spans[10], 8.0)).characters
    assert [(one["before"], one["after"]) for one in found] == [(one, other) for _, one, other in wanted]


def test_a_character_is_written_behind_the_text(inference):
    answers = [written(inference, asked("Ada wrote"), np.random.default_rng(seed))["next"] for seed in range(9)]
    assert any(answers)
    with pytest.raises(ConfigError, match="a model writes in one text at a time; compare with nothing"):
        written(inference, asked(compare="text", other="b"), np.random.default_rng(0))

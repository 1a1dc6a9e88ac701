import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import howfar
from howfar.errors import BusyError, ModelNotFoundError, NoIncrementsError, TextError
from howfar.explorer import inference as module
from howfar.explorer.inference import Inference, named_models
from howfar.explorer.what_if import Edit


def test_numbers_are_those_of_the_library_to_the_last_bit(inference, model_folder):
    text = "Ada wrote 图书馆 in 1843. " * 5
    expected = howfar.trace(howfar.load(model_folder), text)
    got = inference.trace("tiny", text)
    np.testing.assert_array_equal(got.increments, expected.increments)
    np.testing.assert_array_equal(got.surprisal_nats, expected.surprisal_nats)


def test_equal_requests_are_answered_once(inference, monkeypatch):
    asked = []
    trace = module.trace
    monkeypatch.setattr(module, "trace", lambda model, text, tokenizer: (asked.append(text), trace(model, text))[1])
    with ThreadPoolExecutor(8) as visitors:
        answers = list(visitors.map(lambda _: inference.trace("tiny", "same"), range(8)))
    assert asked == ["same"]
    assert all(answer is answers[0] for answer in answers)


def test_twenty_visitors_each_get_their_own_answer(inference):
    texts = [f"visitor {number} types {'x' * number}" for number in range(20)]
    with ThreadPoolExecutor(20) as visitors:
        for _ in range(3):
            assert [trace.text for trace in visitors.map(lambda text: inference.trace("tiny", text), texts)] == texts


def test_a_full_queue_is_refused_and_empties_again(model_folder, monkeypatch):
    inference = Inference({"tiny": model_folder}, max_waiting=2)
    go_on = threading.Event()
    monkeypatch.setattr(module, "trace", lambda model, text, tokenizer: go_on.wait(10) and text)
    with ThreadPoolExecutor(2) as visitors:
        waiting = [visitors.submit(inference.trace, "tiny", text) for text in ("a", "b")]
        while len(inference._answers) < 2:
            pass
        with pytest.raises(BusyError, match="too many texts are waiting for the model; type on in a moment"):
            inference.trace("tiny", "c")
        go_on.set()
        assert [answer.result() for answer in waiting] == ["a", "b"]
    assert inference.trace("tiny", "c") == "c"


def test_a_failed_request_is_asked_again(inference, monkeypatch):
    def fail(model, text, tokenizer):
        raise RuntimeError("once")

    with monkeypatch.context() as patch:
        patch.setattr(module, "trace", fail)
        with pytest.raises(RuntimeError, match="once"):
            inference.trace("tiny", "text")
    assert inference.trace("tiny", "text").text == "text"


def test_memory_is_bounded_by_forgetting_the_oldest(inference, monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5 * module.COST_OF_AN_ANSWER)
    for number in range(20):
        inference.trace("tiny", f"text {number}")
    assert [key[-1] for key in inference._answers] == [f"text {number}" for number in range(16, 20)]


def test_other_models_than_the_pages_own_are_refused(inference):
    with pytest.raises(ModelNotFoundError, match=r"this page has no model '/etc'; it has tiny, plain"):
        inference.trace("/etc", "text")


def test_too_long_and_empty_texts_are_refused(inference):
    with pytest.raises(
        TextError, match=r"the text has 5,000,000 characters, the explorer takes at most 50,000; shorten"
    ):
        inference.trace("tiny", "x" * 5_000_000)
    with pytest.raises(TextError, match="the text is empty"):
        inference.trace("tiny", "")
    with pytest.raises(TextError, match="lone surrogate"):
        inference.trace("tiny", "\ud800")


def test_a_model_without_increments_has_nothing_to_edit(inference):
    assert inference.trace("plain", "text").increments.min() == 1
    with pytest.raises(NoIncrementsError, match="has no increments"):
        inference.what_if("plain", "text", Edit((1, 2), 2.0))


def test_names_are_short_and_differ():
    assert named_models(["a/tiny", "b/tiny/", "owner/model"]) == {
        "tiny": "a/tiny",
        "tiny (2)": "b/tiny/",
        "model": "owner/model",
    }

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import howfar
from howfar.errors import BusyError, ModelNotFoundError, NoIncrementsError, TextError
from howfar.explorer import inference as module
from howfar.explorer.inference import Inference
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
        TextError, match=r"the text has 5,000,000 characters, but the explorer takes at most 50,000; shorten"
    ):
        inference.trace("tiny", "x" * 5_000_000)
    with pytest.raises(TextError, match="the text is empty"):
        inference.trace("tiny", "")
    with pytest.raises(TextError, match="lone surrogate"):
        inference.trace("tiny", "\ud800")


def test_unit_steps_of_a_plain_model_are_moved_and_it_stays_plain(inference):
    text = "plain positions"
    before = inference.trace("plain", text)
    assert before.increments.min() == 1
    result = inference.what_if("plain", text, Edit((4, 5), 3.0, layer=1))
    np.testing.assert_array_equal(result.before.surprisal_nats[1:], before.surprisal_nats)
    assert (result.after.increments[1, :, 5] == 3).all()
    assert (np.delete(result.after.increments[1], 5, axis=1) == 1).all()
    assert (result.after.increments[[0, 2]] == 1).all()
    assert not np.array_equal(result.after.surprisal_nats, result.before.surprisal_nats)
    assert inference._readers["plain"].increments is None
    with pytest.raises(NoIncrementsError):
        howfar.increments_of(inference._readers["plain"].model)


def test_characters_are_whole_and_their_probabilities_those_of_their_bytes(inference, model_folder):
    text = "图书"
    result = inference.what_if("tiny", text, Edit((3, 6), 4.0))
    model = howfar.load(model_folder)
    for data, before, after in result.characters:
        continued = howfar.trace(model, (text.encode() + data).decode(errors="ignore"))
        if len(continued.text) > len(text):
            nats = continued.surprisal_nats[len(text.encode()) :].sum()
            assert before == pytest.approx(np.exp(-nats), rel=1e-4)
        assert before >= 0 < after
    assert any(before != pytest.approx(after, rel=1e-3) for _, before, after in result.characters)


def test_what_is_written_follows_the_text_and_its_edit(inference):
    def written(edit):
        return [inference.write_on("tiny", "Ada", edit, np.random.default_rng(seed)) for seed in range(12)]

    plain = written(Edit((1, 2)))
    assert plain == written(Edit((0, 2)))
    assert plain != written(Edit((0, 2), 8.0))

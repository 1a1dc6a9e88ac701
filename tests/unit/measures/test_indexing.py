"""Indirect indexing: a reader that answers rightly has 1, one that guesses has 1 over its choices."""

import random
from collections.abc import Callable, Sequence
from itertools import islice

import pytest
import torch

from howfar.errors import NotMeasurableError
from howfar.measures.indexing import indexing
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.reading.reader import Reader
from howfar.reading.readings import Reading
from howfar.reading.windows import Window
from howfar.text.indexing import ALPHABET, IndexingTask, questions_of
from howfar.text.tokenizer import subword_tokenizer
from support.lookup import NUM_TOKENS, lookup_model

TASK = IndexingTask(length=16, largest_offset=4, questions=4)
DOCUMENTS = list(islice(TASK.documents(seed=1), 300))

Answer = Callable[[str], str]
"""From the document up to an answer to the answer."""


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Let readers answer without a model."""

    def read_together(self: Reader, windows: Sequence[Window], *, predict_at: Sequence[int]) -> Reading:
        predictions = torch.zeros(len(windows), NUM_TOKENS)
        for row, (window, place) in enumerate(zip(windows, predict_at, strict=True)):
            before = bytes(window.tokens[1 : place + 1].tolist()).decode()
            predictions[row, ord(answer(before))] = 1.0
        return Reading(windows, predictions=predictions)

    monkeypatch.setattr(Reader, "read_together", read_together)


def rightly(before: str) -> str:
    (answer,) = [letter for letter in ALPHABET if questions_of(before + letter)]
    return answer


def test_one_that_answers_rightly_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, rightly)
    table = indexing(lookup_model({}), DOCUMENTS, num_documents=40)
    assert table["hops"].to_list()[:2] == [1, 2]
    measured = table.filter(table["value"].is_not_null())
    assert set(measured["value"]) == set(measured["high"]) == {1.0}
    assert measured["low"].max() < 1  # right answers in some documents do not promise them in all
    assert table["num_questions"][:2].sum() == 160
    assert table["num_questions"][0] == table["num_questions"][2:].sum()


def test_one_that_guesses_has_one_over_its_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(0)
    answering(monkeypatch, lambda before: generator.choice(ALPHABET))
    guessed = indexing(lookup_model({}), DOCUMENTS, num_documents=300).row(0, named=True)
    assert guessed["low"] < 1 / len(ALPHABET) < guessed["high"] < 0.06
    answering(monkeypatch, lambda before: generator.choice(before.split("\n")[0]))
    in_string = indexing(lookup_model({}), DOCUMENTS, num_documents=300).row(0, named=True)
    assert 1 / 16 < in_string["chance"] < 1 / 8
    assert in_string["low"] < in_string["chance"] < in_string["high"] < 0.15


def test_hops_and_offsets_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_the_source(before: str) -> str:
        characters, *_, asked = before.split("\n")
        place = characters.index(asked[0]) + int(asked[1:3])
        return characters[place] if asked[1] == "+" else "-"

    answering(monkeypatch, after_the_source)
    table = indexing(lookup_model({}), DOCUMENTS, num_documents=300)
    by_offset = dict(table.filter(table["offset"].is_not_null()).select("offset", "value").rows())
    assert by_offset == {offset: float(offset > 0) for offset in (-4, -3, -2, -1, 1, 2, 3, 4)}
    assert 0.4 < table["value"][0] < 0.6
    assert table["value"][1] == 0.0  # a second hop never leads back


def test_a_model_is_asked_after_the_sign_of_equality() -> None:
    model = lookup_model({}, certainty={ord("="): 5.0})  # it always answers a
    table = indexing(model, DOCUMENTS, num_documents=300)
    answers = [document[question.place] for document in DOCUMENTS for question in questions_of(document)]
    right = sum(row["value"] * row["num_questions"] for row in table.head(2).iter_rows(named=True))
    assert round(right) == answers.count("a") > 0
    assert indexing(lookup_model({}), DOCUMENTS)["value"][0] == 0.0


def test_tokens_of_several_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = subword_tokenizer(DOCUMENTS, 600)
    assert any(len(tokenizer(document)["input_ids"]) < len(document) - 5 for document in DOCUMENTS[:20])
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = HowFarForCausalLM(HowFarConfig(vocab_size=600, **sizes)).eval()

    def read_together(self: Reader, windows: Sequence[Window], *, predict_at: Sequence[int]) -> Reading:
        predictions = torch.zeros(len(windows), 600)
        for row, (window, place) in enumerate(zip(windows, predict_at, strict=True)):
            answer = rightly(tokenizer.decode(window.tokens[1 : place + 1]))
            predictions[row, tokenizer(answer)["input_ids"][0]] = 1.0
        return Reading(windows, predictions=predictions)

    monkeypatch.setattr(Reader, "read_together", read_together)
    table = indexing(model, DOCUMENTS, tokenizer=tokenizer, num_documents=20)
    assert table["value"][:2].to_list() == [1.0, 1.0]


def test_what_is_not_the_task_is_refused() -> None:
    model = lookup_model({})
    with pytest.raises(NotMeasurableError, match="9 of 29 documents are tasks of indirect indexing, and 10 are needed"):
        indexing(model, [*["A text."] * 20, *DOCUMENTS[:9]])
    assert indexing(model, [*["A text."] * 20, *DOCUMENTS[:10]])["n"][0] == 10
    long = list(islice(IndexingTask(questions=20).documents(seed=0), 10))
    with pytest.raises(NotMeasurableError, match="tokens, but the model reads 64 at once; make documents with fewer"):
        indexing(model, long)
    rare = indexing(model, list(islice(TASK.documents(seed=2), 10)))
    few = "not measurable: fewer than 10 documents have a question of this"
    assert set(rare["note"].drop_nulls()) == {f"{few} offset", f"{few} number of hops"}

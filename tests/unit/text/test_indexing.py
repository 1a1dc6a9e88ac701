from itertools import islice

import pytest

from howfar.errors import ConfigError
from howfar.text.indexing import ALPHABET, IndexingTask, Question, questions_of


def test_questions_are_answered_by_their_own_string() -> None:
    task = IndexingTask(length=12, largest_offset=3, hops=3, questions=5)
    hops, answers = [], []
    for document in islice(task.documents(seed=0), 300):
        characters, *lines = document.split("\n")
        assert 6 <= len(set(characters)) == len(characters) <= 12
        assert len(lines) == 5
        for line in lines:
            asked, answer = line.split("=")
            here = characters[: characters.index(asked[0])]
            steps = [int(asked[begin : begin + 2]) for begin in range(1, len(asked), 2)]
            for step in steps:
                assert 1 <= abs(step) <= 3
                here = characters[: len(here) + step]
                assert 0 <= len(here) < len(characters)
            assert characters[len(here)] == answer != asked[0]
            hops.append(len(steps))
            answers.append(answer)
        found = questions_of(document)
        assert [document[question.place] for question in found] == [line[-1] for line in lines]
        assert [question.hops for question in found] == hops[-5:]
    assert all(450 < hops.count(number) < 550 for number in (1, 2, 3))
    assert set(answers) == set(ALPHABET)


def test_documents_follow_from_the_seed() -> None:
    first, again, other = (list(islice(IndexingTask().documents(seed), 20)) for seed in (3, 3, 4))
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == 20


def test_the_document_of_the_module_is_one() -> None:
    assert questions_of("kQzmfTbe\nz+2=f\nT-1+3=e\n") == [Question(1, 2, 13), Question(2, 2, 21)]


@pytest.mark.parametrize(
    "text",
    [
        "kQzm",
        "kQzm\n",
        "kQzm\nz+1=k",
        "kQzm\nz+2=m",
        "kQzm\nk-1=m",
        "kQzm\nx+1=z",
        "kQzk\nz+1=k",
        "kQzm\nz+1=m\nand more",
        "Two words\nz+1=m",
        "",
    ],
)
def test_another_text_has_no_questions(text: str) -> None:
    assert questions_of(text) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 5}, "strings have up to 5 characters; give 6 to 52"),
        ({"length": 53}, "strings have up to 53 characters; give 6 to 52"),
        ({"largest_offset": 1}, "the largest offset is 1; give 2 to 9"),
        ({"largest_offset": 10}, "the largest offset is 10; give 2 to 9"),
        ({"hops": 0}, "hops is 0; give 1 or more"),
        ({"questions": 0}, "questions is 0; give 1 or more"),
    ],
)
def test_an_impossible_task_is_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        IndexingTask(**options)

"""Does a model find the character so many places from another (indirect indexing)?

The model reads a document of `howfar corpus indexing` up to each answer; it is right if its most probable token has the
answer's character. The answers before are in the text, so one wrong answer does not make the next ones wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.corpus.corpus import Corpus
from howfar.errors import NotMeasurableError
from howfar.measures import statistics
from howfar.measures.declaration import Measure, of_texts
from howfar.measures.documents import documents_of
from howfar.measures.passes import check_vocabulary
from howfar.measures.tables import Row, table
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.indexing import Question, questions_of
from howfar.text.spans import token_bytes

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Asked:
    """A question as a model reads it."""

    document: int
    question: Question
    chance: float  # the share of right answers of a reader who names any character of the string
    answer: bytes  # that the next token must begin with


def indexing(
    model: PreTrainedModel,
    texts: Corpus | Iterable[str],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    num_documents: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure the share of questions of indirect indexing that a model answers rightly.

    The texts are documents of `howfar corpus indexing`; the model should have been trained on such a task. Nothing is
    random.

    Returns:
        First one row per number of `hops` with null `offset`: `value` is the share of right answers, with its 95%
        interval over `n` documents. Then one row per `offset` of questions of one hop, in places of the string and
        negative to the left. `chance` is the share of a reader who names any character of the string, `num_questions`
        the number of questions. `note` says why numbers are missing.

    Raises:
        NotMeasurableError: There are fewer than 10 documents of the task, a document is longer than the model's
            windows, or its tokens are not the model's.
    """
    reader = Reader(model, tokenizer)
    windows = _windows(reader, texts, num_documents)
    asked = list(windows.values())
    right = _answers(reader, windows, progress)
    documents, hops, offsets = (
        np.array(values)
        for values in zip(*((one.document, one.question.hops, one.question.offset) for one in asked), strict=True)
    )
    chance = np.array([one.chance for one in asked])

    def row(of: NDArray[np.bool_], num_hops: int, offset: int | None) -> Row:
        num = len(np.unique(documents[of]))
        about = {"hops": num_hops, "offset": offset, "chance": float(chance[of].mean())}
        about |= {"n": num, "num_questions": int(of.sum())}
        if num < statistics.MIN_DOCUMENTS:
            few = f"fewer than {statistics.MIN_DOCUMENTS} documents have a question of this"
            return about | {"note": f"not measurable: {few} {'number of hops' if offset is None else 'offset'}"}
        return about | statistics.proportion(right[of], documents[of])

    rows = [row(hops == number, number, None) for number in np.unique(hops).tolist()]
    alone = hops == 1  # with more, offsets of opposite sides add up
    rows += [row(alone & (offsets == offset), 1, offset) for offset in np.unique(offsets[alone]).tolist()]
    return table(rows, (int, "hops offset"), (float, "value low high chance"), (int, "num_questions n"))


def _windows(reader: Reader, texts: Corpus | Iterable[str], num_documents: int) -> dict[Window, Asked]:
    """The beginning of a document up to the answer of each of its questions."""
    windows: dict[Window, Asked] = {}
    num_read = num_asking = 0
    for number, document in enumerate(documents_of(texts, reader.tokenizer, num_documents=num_documents)):
        questions = questions_of(document.text)
        num_read, num_asking = num_read + 1, num_asking + bool(questions)
        if not questions:
            continue
        read = reader.tokenize(document.text)
        if len(read.tokens) > reader.context:
            raise NotMeasurableError(
                f"a document has {len(read.tokens)} tokens, but the model reads {reader.context} at once; "
                "make documents with fewer questions"
            )
        starts, data = read.byte_spans[:, 0], document.text.encode()
        chance = 1 / data.index(b"\n")
        for question in questions:
            token = int(np.searchsorted(starts, question.place, side="right"))  # the mark is token 0
            answer = data[starts[token - 1] : question.place + 1]
            windows[Window(number, read.tokens[:token])] = Asked(number, question, chance, answer)
    if num_asking < statistics.MIN_DOCUMENTS:
        raise NotMeasurableError(
            f"{num_asking} of {num_read} documents are tasks of indirect indexing, and {statistics.MIN_DOCUMENTS} are "
            "needed; make some with `howfar corpus indexing`"
        )
    check_vocabulary(reader, list(windows))
    return windows


def _answers(reader: Reader, windows: dict[Window, Asked], progress: Progress | None) -> NDArray[np.float64]:
    """Whether each question is answered rightly, `[question]`, in the order of the windows."""
    pieces = token_bytes(reader.tokenizer, range(len(reader.tokenizer)))
    found: dict[Window, bool] = {}
    for batch in followed(reader.batches(windows), progress, len(windows), len):
        predictions = reader.read_together(batch, predict_at=[len(window) - 1 for window in batch]).predictions
        for window, token in zip(batch, predictions.argmax(dim=-1).tolist(), strict=True):
            found[window] = token < len(pieces) and pieces[token].startswith(windows[window].answer)
    return np.array([found[window] for window in windows], dtype=np.float64)


MEASURE = Measure(
    name="indexing",
    question="Does the model find the character a given number of places from another?",
    run=of_texts(indexing, "num_documents"),
    value="share of right answers",
    counts="documents",
    sample="documents",
    columns=("hops", "offset", "value [low, high]", "chance", "num_questions", "n"),
    identity=("hops", "offset"),
    limits={"": (0.0, 1.0)},
    of_plain=True,
)

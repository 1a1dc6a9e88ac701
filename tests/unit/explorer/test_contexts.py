"""The explorer ranks increments in a corpus by a table of contexts, where it is given one."""

from pathlib import Path

import polars as pl
import pytest

from howfar.commands.explore import explore
from howfar.errors import ConfigError
from howfar.explorer.panels import Document, contexts_of, panel
from howfar.explorer.question import Question
from howfar.measures.contexts import contexts
from howfar.models.loading import load

TEXTS = ["The keeper counted ships.", "猫坐在树上。"] * 20


@pytest.fixture
def found(model_folder: str) -> pl.DataFrame:
    return contexts(load(model_folder), TEXTS, num_passages=2)


def test_a_table_is_of_the_model_that_it_names(found: pl.DataFrame) -> None:
    of_model = contexts_of(found, "tiny")  # the last part of the folder's path
    assert of_model is not None
    assert of_model.equals(found)
    assert contexts_of(found, "other") is None
    assert contexts_of(None, "tiny") is None


def test_the_panel_ranks_in_the_corpus(inference, found: pl.DataFrame) -> None:
    question = Question((("tiny", TEXTS[0]),), cells=(3,))
    assert "corpus_percentile" in panel(Document(inference, question, contexts=found), "context").table[0]
    assert "corpus_percentile" not in panel(Document(inference, question), "context").table[0]


def test_another_file_is_refused_before_anything_slow(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a file that `howfar measure contexts"):
        explore(["/no/such/model"], contexts=tmp_path / "nothing.parquet")

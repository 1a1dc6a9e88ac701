"""The explorer ranks increments in a corpus by a table of contexts, where it is given one."""

from pathlib import Path

import polars as pl
import pytest

from howfar.commands.explore import _rank_by
from howfar.errors import ConfigError
from howfar.explorer import server
from howfar.explorer.panels import Document, context_view
from howfar.measures.contexts import contexts
from howfar.models.loading import load

TEXTS = ["The keeper counted ships.", "猫坐在树上。"] * 20


@pytest.fixture
def found(model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """Of the model in the folder; written to `contexts.parquet` and named by the environment."""
    monkeypatch.setenv(server.CONTEXTS_VARIABLE, "")
    table = contexts(load(model_folder), TEXTS, num_passages=2)
    table.write_parquet(tmp_path / "contexts.parquet")
    _rank_by(tmp_path / "contexts.parquet")
    return table


def test_a_table_is_of_the_model_that_it_names(found: pl.DataFrame) -> None:
    of_model = server.contexts_of("tiny")  # the last part of the folder's path
    assert of_model is not None
    assert of_model.equals(found)
    assert server.contexts_of("other") is None


def test_without_a_table_nothing_is_ranked_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(server.CONTEXTS_VARIABLE, raising=False)
    assert server.contexts_of("tiny") is None


def test_the_view_ranks_in_the_corpus(inference, found: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document("tiny", inference.trace("tiny", TEXTS[0]), "tiny")
    assert "corpus" in context_view(inference, document, 3, 1, "light").text
    monkeypatch.delenv(server.CONTEXTS_VARIABLE)
    assert "corpus" not in context_view(inference, document, 3, 1, "light").text


def test_another_file_is_refused_before_anything_slow(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a file that `howfar measure contexts"):
        _rank_by(tmp_path / "nothing.parquet")

"""Inputs of measures from files."""

from pathlib import Path

import polars as pl
import pytest

from howfar.errors import CorpusError
from howfar.measures.boundaries import MEASURE
from howfar.measures.boundaries.gaps import find_gaps
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.documents import documents_of
from howfar.measures.files import read_gold, read_inputs, read_texts
from howfar.models.loading import tokenizer_of
from support.lookup import lookup_model


@pytest.fixture
def gold(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "zh.txt", tmp_path / "en.txt", tmp_path / "de.conllu"]
    paths[0].write_text("".join(f"我们 去 {number}\n" for number in range(5)), encoding="utf-8")
    paths[1].write_text("an other\n" * 2, encoding="utf-8")
    row = "1\tda\t_\t_\t_\t_\t_\t_\t_\t_\n2\tist\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
    paths[2].write_text("# newdoc\n" + row + row + "# newdoc\n" + row, encoding="utf-8")
    return paths


def test_gold_files_are_sources_read_in_turns_by_document(gold: list[Path]) -> None:
    read = list(read_gold(gold))
    assert [own.source[:2] for own in read] == ["zh", "en", "de", "de", "zh", "en", "de", "zh", "zh", "zh"]
    assert [own.begins_document for own in read] == [True, True, True, False, *[True] * 6]
    assert {own.source for own in read_gold(gold[:1])} == {""}
    model = lookup_model({})
    gaps = find_gaps(model, read, TARGETS["words"], tokenizer=tokenizer_of(model), max_gaps=100)
    assert len(set(gaps.sources.tolist())) == 3, "gaps of one source are compared with each other only"


def test_text_files_are_sources(tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text(f"one of {path.stem}\n\ntwo of {path.stem}\n", encoding="utf-8")
    documents = list(documents_of(read_texts(paths)))
    assert [document.source for document in documents] == ["a.txt", "a.txt", "b.txt", "b.txt"]
    assert [document.source for document in documents_of(read_texts(paths), num_documents=2)] == ["a.txt", "b.txt"]
    assert {document.source for document in documents_of(read_texts(paths[:1]))} == {"text"}


def test_a_field_or_column_may_be_named(tmp_path: Path) -> None:
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.parquet"
    lines.write_text('{"body": "one"}\n{"body": "two"}\n', encoding="utf-8")
    pl.DataFrame({"body": ["one", "two"]}).write_parquet(table)
    for path in (lines, table):
        assert read_texts([Path(f"{path}:body")]) == ["one", "two"]
        with pytest.raises(CorpusError, match=rf"has no (field|column) 'text' \(has: body\); name it: {path}:[A-Z]+"):
            read_texts([path])
    assert read_inputs(texts=[Path(f"{lines}:body")]).origin == "a.jsonl:body"


def test_captions_name_what_was_read(tmp_path: Path, gold: list[Path]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Some text.", encoding="utf-8")
    inputs = read_inputs(texts=[text], gold=gold[:2])
    assert (inputs.origin, inputs.gold_origin) == ("text.txt", "zh.txt, en.txt")
    own = inputs.only(MEASURE.uses)
    assert MEASURE._origin(own) == "zh.txt, en.txt"
    assert MEASURE._origin(inputs.only({"texts"})) == "text.txt"

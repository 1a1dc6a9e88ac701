from pathlib import Path

import pytest

from howfar.corpus.sources import (
    WIKIPEDIA,
    HubDataset,
    LocalFiles,
    Source,
    check_sources,
    file_and_column,
    parse_source,
)
from howfar.errors import ConfigError, CorpusError


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("en=a/en.txt", Source("en", LocalFiles("a/en.txt"))),
        ("a/en_train.txt", Source("en_train", LocalFiles("a/en_train.txt"))),
        ("en=a.txt,held_out=b.txt", Source("en", LocalFiles("a.txt"), LocalFiles("b.txt"))),
        ("zh=zh.jsonl:body", Source("zh", LocalFiles("zh.jsonl", "body"))),
        ("zh.parquet", Source("zh", LocalFiles("zh.parquet"))),
        ("z=d/*.parquet:content", Source("z", LocalFiles("d/*.parquet", "content"))),
        ("code=files:src/**/*.py", Source("code", LocalFiles("src/**/*.py", whole_files=True))),
        ("a:b.txt", Source("a:b", LocalFiles("a:b.txt"))),
        ("C:/texts/a.txt", Source("a", LocalFiles("C:/texts/a.txt"))),
        ("x=a=b,c.txt", Source("x", LocalFiles("a=b,c.txt"))),
        ("notes/*.txt", Source("notes", LocalFiles("notes/*.txt"))),
        ("files:src/**/*.py", Source("src", LocalFiles("src/**/*.py", whole_files=True))),
        ("hub:owner/name", Source("name", HubDataset("owner/name"))),
        ("hub:o/n:20231101.en", Source("20231101.en", HubDataset("o/n", "20231101.en"))),
        ("x=hub:o/n::test:body", Source("x", HubDataset("o/n", None, "test", "body"))),
        (
            "x=hub:o/n:c,held_out=hub:o/n:c:test",
            Source("x", HubDataset("o/n", "c"), HubDataset("o/n", "c", "test")),
        ),
    ],
)
def test_written_sources(text, source):
    assert parse_source(text) == source


def test_a_file_whose_name_has_a_colon_is_that_file(tmp_path: Path):
    text = str(tmp_path / "a.jsonl:body")
    assert file_and_column(text) == (str(tmp_path / "a.jsonl"), "body")
    Path(text).write_text("x")
    assert file_and_column(text) == (text, "text")


@pytest.mark.parametrize("text", ["", "en=", "en=,held_out=a.txt", "en=a.txt,held_out="])
def test_a_source_without_location_is_refused(text):
    with pytest.raises(ConfigError, match=r"has no location; write it as \[NAME=\]LOCATION\[,held_out=LOCATION\]"):
        parse_source(text)


@pytest.mark.parametrize("text", ["files:", "en=files:", "en=a.txt,held_out=files:"])
def test_a_folder_that_is_not_named_is_not_the_current_one(text):
    with pytest.raises(ConfigError, match="'files:' has no location; write it as files:PATH"):
        parse_source(text)


@pytest.mark.parametrize(("text", "name"), [(".", "inner"), ("..", "outer"), ("files:.", "inner"), ("../*.x", "outer")])
def test_a_relative_folder_has_the_name_of_the_folder_that_it_is(tmp_path: Path, monkeypatch, text, name):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "outer" / "inner")
    assert parse_source(text).name == name


@pytest.mark.parametrize("text", ["hub:", "hub:a/b/c", "hub:a/b:c:d:e:f"])
def test_a_malformed_hub_source_is_refused(text):
    with pytest.raises(ConfigError, match="is not hub:OWNER/NAME"):
        parse_source(text)


def test_the_default_recipe_is_english_and_chinese_wikipedia():
    sources = [parse_source(text) for text in WIKIPEDIA]
    assert [source.name for source in sources] == ["en", "zh"]
    assert {source.location.repository for source in sources} == {"wikimedia/wikipedia"}


def test_sources_need_names_of_their_own():
    with pytest.raises(ConfigError, match="needs at least one source"):
        check_sources([])
    with pytest.raises(ConfigError, match="two sources are named 'a'"):
        check_sources([parse_source("a=1.txt"), parse_source("a=2.txt")])


def test_files_of_folders_and_globs_are_sorted_and_not_hidden(tmp_path: Path, monkeypatch):
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/d.md", ".hidden/e.txt", ".f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    def names(path):
        return [str(file.relative_to(tmp_path)) for file in LocalFiles(str(path)).files()]

    assert names(tmp_path) == ["a.txt", "b.txt", "deep/c.txt", "deep/d.md"]
    assert names(tmp_path / "*.txt") == ["a.txt", "b.txt"]
    assert names(tmp_path / "**" / "*.txt") == ["a.txt", "b.txt", "deep/c.txt"]
    assert names(tmp_path / "deep" / "c.txt") == ["deep/c.txt"]
    monkeypatch.chdir(tmp_path)
    assert [str(file) for file in LocalFiles("*.txt").files()] == ["a.txt", "b.txt"]


@pytest.mark.parametrize("name", ["none.txt", "*.none", ""])
def test_a_location_without_files_is_refused(tmp_path: Path, name):
    with pytest.raises(CorpusError, match=r"no file matches .*; give the path of a file, a folder or a glob"):
        LocalFiles(str(tmp_path / name)).files()

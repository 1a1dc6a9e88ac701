import bz2
import gzip
import json
import lzma
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from howfar.corpus import readers
from howfar.corpus.pieces import NOT_TEXT
from howfar.corpus.readers import read_documents
from howfar.corpus.sources import HubDataset, LocalFiles, parse_source
from howfar.errors import CorpusError, MissingExtraError, SourceInterruptedError


def read(path: Path, **options) -> list[bytes]:
    return list(read_documents(LocalFiles(str(path), **options)))


def test_text_documents_are_separated_by_empty_lines(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf\n\nTitle\nline one\n\n\n  second \r\nx\r\n\r\nthird")
    assert read(path) == [b"Title\nline one", b"  second \nx", b"third"]
    path.write_bytes(b"")
    assert read(path) == []


@pytest.mark.parametrize("blank", ["", "  ", "\t", "\u3000\u3000", "\u00a0", " \u2003 ", "\u2028"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_any_blanks_separate_documents_whatever_ends_a_line(tmp_path: Path, blank: str, end: str):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + end.join(["一", "\u3000二", blank, blank, " three"]).encode())
    assert read(path) == ["一\n\u3000二".encode(), b" three"]


def test_lines_are_whole_where_a_block_of_the_file_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"ab\r\ncd\r\n\r\nef\r\rgh\n\nij")
    for size in range(1, 12):
        monkeypatch.setattr(readers, "_BLOCK", size)
        assert read(path) == [b"ab\ncd", b"ef", b"gh", b"ij"]


def test_a_line_of_many_blocks_is_joined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "_BLOCK", 4)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 200_000 + b"\r\n\r\n" + b"b" * 200_000)
    begin = time.process_time()
    assert list(read_documents(LocalFiles(str(path)))) == [b"a" * 200_000, b"b" * 200_000]
    assert time.process_time() - begin < 1  # joined at each block, it takes several seconds


@pytest.mark.parametrize("name", ["a.JSONL", "a.ndjson", "a.NDJSON", "a.json"])
def test_lines_of_json_are_known_by_any_of_their_names(tmp_path: Path, name: str):
    (tmp_path / name).write_text('{"text": "a"}\n{"text": "b"}\n')
    assert read(tmp_path / name) == [b"a", b"b"]
    (tmp_path / name).write_text('{"text": "' + 100_000 * "a" + '"}\n{"text": "b"}\n')
    assert read(tmp_path / name) == [100_000 * b"a", b"b"]
    named = parse_source(f"{tmp_path / name}:text").location
    assert isinstance(named, LocalFiles)
    assert named.column == "text"


def test_parquet_is_known_by_its_content(tmp_path: Path):
    for name in ("a.PARQUET", "part-0"):
        pl.DataFrame({"text": ["a"]}).write_parquet(tmp_path / name)
        assert read(tmp_path / name) == [b"a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'[{"text": "a"}]', r"is one JSON document; make lines of it: jq -c '\.\[\]' \S+ > \S+a\.jsonl"),
        (
            "a b.json",
            b"[\n {",
            r"one JSON document; make lines of it: jq -c '\.\[\]' '\S+/a b\.json' > '\S+/a b\.jsonl'",
        ),
        ("a.json", b'{\n  "text": "a"\n}', r"is one JSON document; make lines of it: jq -c \. \S+ > \S+a\.jsonl"),
        (
            "a.json",
            b'[ "a",\n"b"]',
            r"one JSON document; make lines of it: jq -c '\.\[\]\|\{text:\.\}' \S+ > \S+a\.jsonl",
        ),
        ("a.json", b"[[1], [2]]", r"a\.json is not lines of JSON objects; make lines of it, each an object with a doc"),
        ("a.json", b" \n", r"a\.json is empty; name a file that holds text"),
        ("a.csv", b"text,n\na,1\n", r"is a table; make lines of JSON of it: python -c .*read_csv.*write_ndjson"),
        ("a.TSV", b"text\tn\na\t1\n", r"is a table; .*separator="),
        ("a.jsonl.gz", gzip.compress(b"x", mtime=0), r"is compressed; unpack it first: gunzip -k \S+a\.jsonl\.gz"),
        ("a.txt", bz2.compress(b"x"), r"is compressed; unpack it first: bunzip2"),
        ("a b.xz", lzma.compress(b"x"), r"is compressed; unpack it first: unxz -k '\S+a b\.xz'"),
        ("a.docx", b"PK\x03\x04rest", r"is a ZIP archive or an office document, not text; save its text"),
        ("a.txt", "text".encode("utf-16"), r"iconv -f UTF-16 -t UTF-8"),
        ("a.txt", "tëxt".encode("utf-16-le"), r"iconv -f UTF-16LE -t UTF-8"),
        ("a.txt", "北京大学在中国北京".encode("gb18030"), r"iconv -f GB18030 -t UTF-8"),
        ("a.txt", "déjà".encode("cp1252"), r"iconv -f WINDOWS-1252 -t UTF-8"),
        ("a.txt", "a line\n\nof ASCII".encode("utf-16-le"), r"iconv -f UTF-16LE -t UTF-8"),
        ("a.txt", "\n\na line".encode("utf-16-be"), r"iconv -f UTF-16BE -t UTF-8"),
        ("a.txt", "a line".encode("utf-32-le"), r"iconv -f UTF-32LE -t UTF-8"),
        ("a.txt", "a line".encode("utf-32"), r"iconv -f UTF-32 -t UTF-8"),
        ("a.txt", bytes(500), r"a\.txt holds binary data, not text; name a file of text"),
        ("a.bin", bytes(range(256)) * 4, r"a\.bin holds binary data, not text; name a file of text"),
        ("a.jpg", b"\xff\xd8\xff\xe0", r"a\.jpg is a picture, not text"),
        ("a.xml", b"<a>text</a>", r"a\.xml is markup, not plain text; extract its texts to a \.txt file"),
        ("a.HTM", b"text", r"a\.HTM is markup, not plain text"),
        ("a.txt", b"\xef\xbb\xbf \n<!DOCTYPE html><p>text", r"a\.txt is markup, not plain text"),
        ("wiki_00", b'<doc id="1" url="x">\ntext\n</doc>', r"wiki_00 is markup, not plain text"),
        ("part", b"WARC/1.0\r\nWARC-Type: response", r"part is a web archive, not plain text"),
        ("a.epub", b"text", r"a\.epub is an office document or a book, not plain text"),
        ("a.txt", b"{\\rtf1 text}", r"a\.txt is an office document, not text"),
        ("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\ntext", r"a\.srt is subtitles with their times, not plain"),
        ("a.mbox", b"From a\n\ntext", r"a\.mbox is mail with its headers, not plain text"),
        ("a.conllu", b"1\ta\n", r"a\.conllu is a table of annotated words, not plain text"),
        ("a.ipynb", b"{}", r"a\.ipynb is a notebook, not plain text"),
        ("a.psv", b"text|n\na|1\n", r"is a table; .*separator="),
        ("a.txt", b'{"text": "a"}\n{"text": "b"}\n', r"begins with a JSON object; .* rename it to \S+a\.jsonl"),
    ],
)
def test_other_kinds_are_refused_with_the_command_that_helps(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", b'<p align="center">howfar</p>\n\n# Title'),
        ("a.py", b"{}"),
        ("a.tex", b"\\documentclass{article}"),
        ("a.yaml", b"a: 1"),
        ("notes", b"<document the plan>"),
        ("a.txt", b"{curly} words"),
        ("a.txt", b"a\x00b\x0c\x1b[0m"),
        ("a.txt", b"BZhang wrote GIF8 and SQLite format 3"),
    ],
)
def test_plain_text_of_any_name_is_read(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    assert b"\n\n".join(read(tmp_path / name)) == content


def test_markup_may_be_read_as_whole_files(tmp_path: Path):
    (tmp_path / "a.html").write_bytes(b"<html>\n\n</html>")
    assert read(tmp_path, whole_files=True) == [b"<html>\n\n</html>"]
    (tmp_path / "b.html").write_bytes(bytes(100))
    assert read(tmp_path, whole_files=True) == [b"<html>\n\n</html>", NOT_TEXT]
    with pytest.raises(CorpusError, match=r"b\.html holds binary data"):
        read(tmp_path / "b.html", whole_files=True)


def test_odd_text_is_kept_as_it_is(tmp_path: Path):
    path = tmp_path / "a.txt"
    document = "a\x00b \u202e e\u0301 😀 " + "x" * 1_000_000
    path.write_text(document, encoding="utf-8")
    assert read(path) == [document.encode()]


def test_whole_files_are_kept_to_the_last_byte(tmp_path: Path):
    (tmp_path / "a.py").write_bytes(b"def f():\n\n    pass\n\n")
    (tmp_path / "b.py").write_bytes(b"1\r\n")
    assert read(tmp_path, whole_files=True) == [b"def f():\n\n    pass\n\n", b"1\n"]


def test_jsonl(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": "a\n\nb"}, {"text": None}, {"text": ""}, {"text": "中"}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert read(path) == [b"a\n\nb", b"", b"", "中".encode()]


def test_parquet_in_order_over_many_batches(tmp_path: Path):
    texts = [f"document {number} 中" for number in range(5000)] + [None, ""]
    pl.DataFrame({"other": range(5002), "body": texts}).write_parquet(tmp_path / "a.parquet", row_group_size=700)
    documents = read(tmp_path / "a.parquet", column="body")
    assert documents == [(text or "").encode() for text in texts]


def test_files_of_several_kinds_are_one_source(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"text": "1"}')
    (tmp_path / "b.txt").write_text("2\n\n3")
    pl.DataFrame({"text": ["4"]}).write_parquet(tmp_path / "c.parquet")
    assert read(tmp_path) == [b"1", b"2", b"3", b"4"]
    assert list(read_documents(LocalFiles(str(tmp_path)), skip=3)) == [b"4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.txt",
            b"one\n\ntwo\nbad \xff",
            r"\(byte 0xff at 4 in line 4\); .*iconv -f WINDOWS-1252 -t UTF-8 \S+ > \S+\.utf8\.txt$",
        ),
        ("a.jsonl", b'{"text": "a"}\n{', r"line 2 of .*a\.jsonl is not JSON"),
        ("a.jsonl", b'{"text": ' + b"[" * 100_000, r"line 1 of .*a\.jsonl is not JSON"),
        ("a.jsonl", b'\n{"body": "a"}', r"line 2 of .* has no field 'text' \(has: body\); name it: .*:FIELD"),
        ("a.jsonl", b"[1]", r"line 1 of .* has no field 'text' \(has: list\)"),
        ("a.jsonl", b'{"text": 3}', r"line 1 of .* holds int where text was needed"),
        ("a.jsonl", b'{"text": "\\ud800"}', r"line 1 of .*: the text has a lone surrogate \(U\+D800\) at character 0"),
        ("a.jsonl", b'{"text": "\xff"}', r"line 1 of .* is not JSON"),
        ("a.parquet", b"not parquet at all", r"a\.parquet cannot be read as Parquet"),
    ],
)
def test_bad_files_are_refused_by_name_and_line(tmp_path: Path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path / name)


def test_parquet_without_the_column_is_refused(tmp_path: Path):
    pl.DataFrame({"body": ["a"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"has no column 'text' \(has: body\); name it: .*a\.parquet:COLUMN"):
        read(tmp_path / "a.parquet")


def test_parquet_with_damaged_rows_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": [f"{number:09}" * 3 for number in range(5000)]}).write_parquet(path, row_group_size=500)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=r"a\.parquet cannot be read as Parquet"):
        list(read_documents(LocalFiles(str(path))))


def test_parquet_of_numbers_is_refused(tmp_path: Path):
    pl.DataFrame({"text": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"row 1 of .* holds int where text was needed"):
        read(tmp_path / "a.parquet")


@pytest.fixture
def hub(monkeypatch):
    """A Hub with one dataset, which stops answering at the row whose text is 'stop'."""
    datasets = pytest.importorskip("datasets")

    def rows():
        for text in ("a", None, "b", "stop"):
            if text == "stop":
                raise ConnectionError("no route to host\nand more")
            yield {"text": text}

    def load_dataset(repository, config, *, split, streaming):
        assert (repository, config, split, streaming) == ("o/n", "c", "train", True)
        return datasets.IterableDataset.from_generator(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


def test_hub_rows_are_streamed_and_skipped(hub):
    documents = read_documents(HubDataset("o/n", "c"))
    assert [next(documents) for _ in range(3)] == [b"a", b"", b"b"]
    assert next(read_documents(HubDataset("o/n", "c"), skip=2)) == b"b"


def test_a_hub_that_stops_answering_is_told_from_bad_data(hub):
    with pytest.raises(SourceInterruptedError, match=r"o/n \(c, train\) cannot be read \(no route to host\); check"):
        list(read_documents(HubDataset("o/n", "c")))


def test_hub_dataset_without_the_column_is_refused(hub):
    with pytest.raises(CorpusError, match=r"has no column 'body' \(has: text\); name it: hub:OWNER/NAME") as caught:
        list(read_documents(HubDataset("o/n", "c", column="body")))
    assert not isinstance(caught.value, SourceInterruptedError)


@pytest.mark.parametrize(
    ("package", "location", "message"),
    [
        ("datasets", HubDataset("o/n"), r"pip install -c constraints.txt '.\[hub\]'"),
        ("polars", LocalFiles("a.parquet"), "reading Parquet needs polars"),
    ],
)
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch, package, location, message):
    monkeypatch.chdir(tmp_path)
    Path("a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=message):
        list(read_documents(location))

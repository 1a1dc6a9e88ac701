import errno
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from howfar.corpus import preparing
from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.from_text import corpus_from_text
from howfar.corpus.journal import Journal
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.errors import ConfigError, CorpusError, InUseError, OutputError, SourceInterruptedError
from howfar.locks import one_at_a_time
from howfar.text.marks import choose_mark
from howfar.text.tokenizer import byte_tokenizer


def write(path: Path, documents: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
    return str(path)


def build(out: Path, *sources: str, **options) -> Corpus:
    return build_corpus(out, [parse_source(text) for text in sources], BuildOptions(**options), progress=False)


def texts(split) -> list[str]:
    return [bytes(split.document(index).tolist()).decode() for index in range(split.num_documents)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hidden_leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def test_balance_by_bytes_takes_from_the_source_that_gave_least(tmp_path: Path):
    long = write(tmp_path / "long.jsonl", [letter * 10 for letter in "ABCD"])
    short = write(tmp_path / "short.jsonl", [letter * 4 for letter in "abcdefgh"])
    corpus = build(tmp_path / "out", f"long={long}", f"short={short}", held_out_fraction=0)
    # 10:0, 10:4, 10:8, 10:12, 20:12, 20:16, 20:20, 30:20, 30:24, 30:28, 30:32, 40:32; then `short` has no more.
    assert "".join(text[0] for text in texts(corpus.train)) == "AabcBdeCfghD"
    assert corpus.held_out.num_documents == 0


def test_balance_by_documents_stops_with_the_first_to_end_and_none_goes_on(tmp_path: Path):
    first = write(tmp_path / "1.jsonl", list("ABCD"))
    second = write(tmp_path / "2.jsonl", list("ab"))
    by_documents = build(tmp_path / "a", first, second, held_out_fraction=0, balance="documents")
    assert "".join(texts(by_documents.train)) == "AaBbC"
    all_of_it = build(tmp_path / "b", first, second, held_out_fraction=0, balance="none")
    assert "".join(texts(all_of_it.train)) == "AaBbCD"


def test_limits_end_a_source(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", ["aaaa", "bbbb", "cccc", "dddd"])
    assert texts(build(tmp_path / "1", source, held_out_fraction=0, max_documents_per_source=2).train) == [
        "aaaa",
        "bbbb",
    ]
    assert len(texts(build(tmp_path / "2", source, held_out_fraction=0, max_bytes_per_source=9).train)) == 3


def test_documents_in_both_splits_and_duplicates_are_dropped_and_counted(tmp_path: Path):
    train = write(tmp_path / "train.jsonl", ["new", "held", "new", " \n", "", "other", "held"])
    held_out = write(tmp_path / "dev.jsonl", ["held", "held", "kept"])
    corpus = build(tmp_path / "out", f"a={train},held_out={held_out}")
    assert texts(corpus.train) == ["new", "other"]
    assert texts(corpus.held_out) == ["held", "kept"]
    assert corpus.manifest["sources"][0]["dropped"] == {
        "duplicate": 2,
        "in_held_out": 2,
        "empty": 2,
        "not_text": 0,
    }


def test_a_held_out_document_is_dropped_whatever_its_line_ends(tmp_path: Path):
    rows = write(tmp_path / "rows.jsonl", ["one\r\ntwo\r\n", "\none\ntwo", "one\rtwo", "one two"])
    text = tmp_path / "held_out.txt"
    text.write_text("one\ntwo\n")
    corpus = build(tmp_path / "out", f"{rows},held_out={text}")
    assert (texts(corpus.train), texts(corpus.held_out)) == (["one two"], ["one\ntwo"])
    assert corpus.manifest["sources"][0]["dropped"]["in_held_out"] == 3


@pytest.mark.parametrize("forms", [("files:", ""), ("", "files:")])
def test_a_file_is_not_trained_on_whole_and_held_out_by_paragraphs(tmp_path: Path, forms: tuple[str, str]):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"first {name}\n\nsecond {name}\n")
    own, held_out = (f"{form}{tmp_path / name}" for form, name in zip(forms, ("*.txt", "a.txt"), strict=True))
    with pytest.raises(ConfigError, match=r"a\.txt would be trained on and held out"):
        build(tmp_path / "out", f"x={own},held_out={held_out}")
    (tmp_path / "c.md").write_text("held out")
    assert build(tmp_path / "out", f"x={own},held_out=files:{tmp_path / 'c.md'}").held_out.num_documents == 1


def test_among_whole_files_those_that_are_not_text_are_left_out_and_listed(tmp_path: Path):
    folder = tmp_path / "code"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "a.py").write_text("first = 1\n")
    (folder / "b.py").write_bytes(b"# -*- coding: latin-1 -*-\nname = '\xe9'\n")
    (folder / "c.py").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty.py").touch()
    (folder / "inner" / "deep" / "d.py").write_text("last = 1\n")
    (folder / "inner" / "gone.py").symlink_to(tmp_path / "nowhere")
    (folder / "inner" / "folder.py").mkdir()
    (folder / "inner" / "again").symlink_to(folder)
    (folder / ".hidden" / "e.py").write_text("hidden = 1\n")
    corpus = build(tmp_path / "out", f"x=files:{folder}/**/*.py", held_out_fraction=0)
    assert texts(corpus.train) == ["first = 1\n", "last = 1\n"]
    source = corpus.manifest["sources"][0]
    assert source["dropped"] == {"duplicate": 0, "in_held_out": 0, "empty": 1, "not_text": 2}
    assert source["not_text"] == [str(folder / "b.py"), str(folder / "c.py")]
    held_out = build(tmp_path / "dev", f"x=files:{folder}/inner/**/*.py,held_out=files:{folder}/*.py")
    assert held_out.manifest["sources"][0]["not_text"] == source["not_text"]
    for name in ("b", "c"):
        with pytest.raises(CorpusError, match=f"{name}.py is "):
            build(tmp_path / "none", f"files:{folder}/{name}.py")
    (folder / "a.py").unlink()
    with pytest.raises(CorpusError, match="there is no document with text in x"):
        build(tmp_path / "none", f"x=files:{folder}/*.py")


def test_a_document_held_out_of_one_source_is_dropped_from_the_others(tmp_path: Path):
    first = write(tmp_path / "1.jsonl", ["shared", "a"])
    dev = write(tmp_path / "dev.jsonl", ["mine"])
    second = write(tmp_path / "2.jsonl", ["b", "shared", "mine"])
    corpus = build(tmp_path / "out", first, f"x={second},held_out={dev}", held_out_documents=1, balance="none")
    assert sorted(texts(corpus.held_out)) == ["mine", "shared"]
    assert sorted(texts(corpus.train)) == ["a", "b"]


def test_held_out_documents_count_towards_a_sources_bytes(tmp_path: Path):
    source = write(tmp_path / "1.jsonl", [letter * 4 for letter in "abcdefgh"])
    corpus = build(tmp_path / "some", source, held_out_documents=2, max_bytes_per_source=16)
    assert (texts(corpus.held_out), texts(corpus.train)) == (["aaaa", "bbbb"], ["cccc", "dddd"])
    assert texts(build(tmp_path / "most", source, held_out_documents=5, max_bytes_per_source=9).held_out) == [
        "aaaa",
        "bbbb",
        "cccc",
    ]


def test_held_out_documents_are_each_sources_first(tmp_path: Path):
    sources = [write(tmp_path / f"{n}.jsonl", [f"{n}{i}" for i in range(5)]) for n in "xy"]
    corpus = build(tmp_path / "out", *sources, held_out_documents=2)
    assert texts(corpus.held_out) == ["x0", "x1", "y0", "y1"]
    assert set(texts(corpus.train)) == {"x2", "x3", "x4", "y2", "y3", "y4"}
    assert [corpus.held_out.source_of(index) for index in range(4)] == ["x", "x", "y", "y"]


def test_a_share_is_held_out_by_text_and_seed(tmp_path: Path):
    documents = [f"document {number}" for number in range(2000)]
    source = write(tmp_path / "a.jsonl", documents)
    turned = write(tmp_path / "b.jsonl", documents[::-1])
    held_out = texts(build(tmp_path / "1", source, held_out_fraction=0.1).held_out)
    assert 150 < len(held_out) < 250  # 200 expected, standard deviation 13
    assert set(texts(build(tmp_path / "2", turned, held_out_fraction=0.1).held_out)) == set(held_out)
    assert set(texts(build(tmp_path / "3", source, held_out_fraction=0.1, seed=1).held_out)) != set(held_out)
    everything = build(tmp_path / "4", source, held_out_fraction=1)
    assert everything.train.num_documents == 0
    assert everything.held_out.num_documents == 2000


def test_the_hash_is_of_the_content_not_of_where_it_came_from(tmp_path: Path):
    one = write(tmp_path / "one.jsonl", ["a", "b"])
    same = write(tmp_path / "same.jsonl", ["a", "b"])
    other = write(tmp_path / "other.jsonl", ["a", "c"])
    hashes = [build(tmp_path / f"out{i}", f"x={s}", held_out_fraction=0).hash for i, s in enumerate((one, same, other))]
    assert hashes[0] == hashes[1] != hashes[2]


def subword_tokenizer(**options) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "one": 2, "two": 3, "<": 4}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **options)


def test_other_tokenizers_end_documents_with_their_end_of_sequence(tmp_path: Path):
    source = parse_source(write(tmp_path / "a.jsonl", ["one two", "two </s>"]))
    tokenizer = subword_tokenizer(eos_token="</s>", unk_token="<unk>")
    corpus = build_corpus(
        tmp_path / "out", [source], BuildOptions(held_out_fraction=0), tokenizer=tokenizer, progress=False
    )
    assert corpus.end_of_document == 1
    assert (corpus.train.tokens == 1).sum() == 3  # the one in the text is not the token
    assert corpus.train.tokens[:4].tolist() == [1, 2, 3, 1]
    assert corpus.train.num_bytes.tolist() == [7, 8]


def test_the_byte_tokenizer_as_an_object_gives_the_same_corpus(tmp_path: Path):
    source = parse_source(write(tmp_path / "a.jsonl", ["one 中", "two"]))
    corpora = [
        build_corpus(tmp_path / name, [source], tokenizer=tokenizer, progress=False)
        for name, tokenizer in (("1", None), ("2", byte_tokenizer()))
    ]
    assert contents(corpora[0].folder) == contents(corpora[1].folder)


def test_tokenizers_that_will_not_do_are_refused(tmp_path: Path):
    source = parse_source(write(tmp_path / "a.jsonl", ["one"]))
    with pytest.raises(ConfigError, match="no end-of-sequence token to separate documents; set its eos_token"):
        build_corpus(tmp_path / "out", [source], tokenizer=subword_tokenizer(unk_token="<unk>"))
    marked = byte_tokenizer()
    choose_mark(marked, "a")
    with pytest.raises(ConfigError, match=r"ends documents with <\|endofdocument\|>, not with a; choose no mark"):
        build_corpus(tmp_path / "out", [source], tokenizer=marked)


def test_documents_to_hold_out_are_refused_where_every_source_names_its_own(tmp_path: Path):
    one, two = (write(tmp_path / f"{name}.jsonl", [name, name * 2, name * 3]) for name in "ab")
    with pytest.raises(ConfigError, match="held_out_documents is 1, but every source names its held-out text"):
        build(tmp_path / "out", f"{one},held_out={two}", held_out_documents=1)
    other = write(tmp_path / "c.jsonl", ["c", "cc", "ccc"])
    assert build(tmp_path / "out", f"{one},held_out={two}", other, held_out_documents=1).held_out.num_documents == 4


def test_more_than_65536_ids_are_stored_in_four_bytes(tmp_path: Path):
    source = parse_source(write(tmp_path / "a.jsonl", ["w70000", "w3", "w65535"]))
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(70001)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1")
    corpus = build_corpus(
        tmp_path / "out", [source], BuildOptions(held_out_fraction=0), tokenizer=tokenizer, progress=False
    )
    assert corpus.train.tokens.dtype == np.uint32
    assert corpus.train.tokens.tolist() == [1, 70000, 1, 3, 1, 65535, 1]
    corpus.verify()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out_fraction": 1.5}, r"held_out_fraction is 1\.5; it must lie between 0 and 1"),
        ({"balance": "tokens"}, "balance is 'tokens'; it must be one of bytes, documents, none"),
        ({"held_out_documents": -1}, "held_out_documents is -1; it must lie between 0 and"),
        ({"held_out_documents": 10, "max_documents_per_source": 3}, "held_out_documents is 10 of at most 3 documents"),
        ({"seed": 2**64}, "seed is 18446744073709551616; it must lie between 0 and"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        BuildOptions(**options)


def test_what_stands_at_the_output_is_left_alone(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", ["one"])
    out = tmp_path / "out"
    out.mkdir()
    build(out, source, held_out_fraction=0)
    before = contents(out)
    with pytest.raises(OutputError, match="out exists already; name another folder"):
        build(out, source)
    assert contents(out) == before
    with pytest.raises(OutputError, match="exists already"):
        build(tmp_path / "a.jsonl", source)


def test_bad_input_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "bad.txt").write_bytes(b"good\n\n\xff")
    with pytest.raises(CorpusError, match=r"bad\.txt is not UTF-8"):
        build(tmp_path / "out", str(tmp_path / "bad.txt"))
    with pytest.raises(CorpusError, match="no file matches"):
        build(tmp_path / "out", str(tmp_path / "none.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.txt"]


def failing_append(real, after: int, error: BaseException):
    """An append to the journal that fails once, after some documents were written."""
    left = iter([*[None] * after, error])

    def append(journal, *arguments):
        if (failure := next(left, None)) is not None:
            raise failure
        real(journal, *arguments)
        journal.flush()

    return append


def test_a_place_that_fails_is_left_empty(tmp_path: Path, monkeypatch):
    source = write(tmp_path / "a.jsonl", ["one", "two"])
    error = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(Journal, "append", failing_append(Journal.append, 1, error))
    with pytest.raises(OutputError, match=r"out cannot be written \(Input/output error\); name another place"):
        build(tmp_path / "out", source)
    assert not hidden_leftovers(tmp_path)


def test_a_build_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path, monkeypatch):
    source = write(tmp_path / "a.jsonl", [f"document {number}" for number in range(100)])
    whole = build(tmp_path / "whole", source, held_out_fraction=0.2)
    full = OSError(errno.ENOSPC, "No space left on device")
    said = r"out cannot be written \(No space left on device\); make room and start the same command again"
    with monkeypatch.context() as disk:
        disk.setattr(Journal, "append", failing_append(Journal.append, 60, full))
        with pytest.raises(OutputError, match=said):
            build(tmp_path / "out", source, held_out_fraction=0.2)
    with monkeypatch.context() as disk:  # again, before there is room; a file that is written anew would be empty
        disk.setattr(Journal, "append", failing_append(Journal.append, 0, full))
        disk.setattr(Path, "write_text", lambda path, *_, **__: path.write_bytes(b""))
        with pytest.raises(OutputError, match=said):
            build(tmp_path / "out", source, held_out_fraction=0.2)
    with Journal(tmp_path / ".out.partial", 256) as journal:
        assert len(list(journal)) == 60
    with monkeypatch.context() as disk:  # NumPy's error has no number
        disk.setattr("howfar.corpus.manifest.np.save", failing_append(None, 0, OSError("10 requested and 5 written")))
        with pytest.raises(OutputError, match=r"\(10 requested and 5 written\); make room and start the same"):
            build(tmp_path / "out", source, held_out_fraction=0.2)
    resumed = build(tmp_path / "out", source, held_out_fraction=0.2)
    assert contents(resumed.folder) == contents(whole.folder)
    assert not hidden_leftovers(tmp_path)


def interrupted_reader(real, after: int, error: BaseException):
    def read(location, skip=0):
        for number, document in enumerate(real(location, skip), start=skip):
            if number == after:
                raise error
            yield document

    return read


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SourceInterruptedError("no answer")])
def test_an_interrupted_build_is_no_corpus_and_goes_on_when_repeated(tmp_path: Path, monkeypatch, error):
    source = write(tmp_path / "a.jsonl", [f"document {number % 70}" for number in range(100)])
    whole = build(tmp_path / "whole", source, held_out_fraction=0.2)
    read = preparing.read_documents
    monkeypatch.setattr(preparing, "read_documents", interrupted_reader(read, 60, error))
    with pytest.raises(type(error)):
        build(tmp_path / "out", source, held_out_fraction=0.2)
    monkeypatch.setattr(preparing, "read_documents", read)
    with pytest.raises(CorpusError, match="there is no folder"):
        Corpus.open(tmp_path / "out")
    with pytest.raises(CorpusError, match="is not a finished corpus"):
        Corpus.open(tmp_path / ".out.partial")
    with pytest.raises(CorpusError, match="holds an unfinished build with other sources or options; repeat that build"):
        build(tmp_path / "out", source, held_out_fraction=0.3)
    resumed = build(tmp_path / "out", source, held_out_fraction=0.2)
    assert contents(resumed.folder) == contents(whole.folder)
    assert not hidden_leftovers(tmp_path)


def test_a_corpus_from_few_documents_goes_on_when_its_second_build_was_stopped(tmp_path: Path, monkeypatch):
    text = tmp_path / "a.txt"
    text.write_text("\n\n".join(f"book {number} " + 50 * "word " for number in range(8)))
    whole = corpus_from_text([str(text)], byte_tokenizer(), tmp_path / "whole")
    assert whole.held_out.num_documents == 1
    with monkeypatch.context() as stopped:  # its first build, without a document held out, takes 8
        stopped.setattr(Journal, "append", failing_append(Journal.append, 8 + 4, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            corpus_from_text([str(text)], byte_tokenizer(), tmp_path / "out")
    (tmp_path / "b.txt").write_text("another text")
    with pytest.raises(CorpusError, match="holds an unfinished build with other sources"):
        corpus_from_text([str(tmp_path / "b.txt")], byte_tokenizer(), tmp_path / "out")
    resumed = corpus_from_text([str(text)], byte_tokenizer(), tmp_path / "out")
    assert contents(resumed.folder) == contents(whole.folder)
    assert not hidden_leftovers(tmp_path)


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_a_source_that_changes_while_it_is_read_gives_no_corpus(tmp_path: Path, monkeypatch, change):
    (tmp_path / "texts").mkdir()
    for name in ("a", "b"):
        (tmp_path / "texts" / f"{name}.txt").write_text("one\n\ntwo\n")
    read = preparing.read_documents

    def changing(*arguments, **options):
        yield from read(*arguments, **options)
        file = tmp_path / "texts" / {"edit": "a.txt", "add": "c.txt", "remove": "a.txt"}[change]
        file.unlink() if change == "remove" else file.write_text("two\n\none\n")

    monkeypatch.setattr(preparing, "read_documents", changing)
    with pytest.raises(CorpusError, match="a source's files changed while they were read; build the corpus again"):
        build(tmp_path / "out", f"en={tmp_path / 'texts'}", held_out_documents=1)
    assert not (tmp_path / "out").exists()
    assert not hidden_leftovers(tmp_path)


def test_a_build_does_not_go_on_with_an_edited_text_of_the_same_size(tmp_path: Path, monkeypatch):
    source = write(tmp_path / "a.jsonl", [f"document {number}" for number in range(100)])
    read = preparing.read_documents
    monkeypatch.setattr(preparing, "read_documents", interrupted_reader(read, 60, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", source)
    monkeypatch.setattr(preparing, "read_documents", read)
    write(tmp_path / "a.jsonl", [f"dokument {number}" for number in range(100)])
    with pytest.raises(CorpusError, match="holds an unfinished build with other sources"):
        build(tmp_path / "out", source)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_to_a_folder_is_followed(tmp_path: Path, is_there: bool):
    disk, link = tmp_path / "disk" / "mine", tmp_path / "link"
    if is_there:
        disk.mkdir(parents=True)
    link.symlink_to(disk)
    build(link, write(tmp_path / "a.jsonl", ["one", "two"]))
    assert link.is_symlink()
    Corpus.open(link).verify()
    assert [*hidden_leftovers(tmp_path), *hidden_leftovers(disk.parent)] == []


def test_a_row_of_blanks_is_empty_as_a_line_of_blanks_is(tmp_path: Path):
    made = build(tmp_path / "out", write(tmp_path / "a.jsonl", ["\u3000\n ", "\u3000b"]), held_out_documents=0)
    assert texts(made.train) == ["\u3000b"]
    assert made.manifest["sources"][0]["dropped"]["empty"] == 1


def test_the_current_folder_is_not_replaced(tmp_path: Path, monkeypatch):
    source = write(tmp_path / "a.jsonl", ["one"])
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(OutputError, match=r"^\. is the current folder; name a folder to make in it"):
        build(Path(), source)
    assert list(Path().iterdir()) == []


KILLED_BUILD = """
import os, signal, sys
from howfar.corpus import journal
from howfar.corpus.build import build_corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source

journal._BYTES_BETWEEN_FLUSHES = 1000
append, count = journal.Journal.append, 0

def append_and_die(self, *args):
    global count
    append(self, *args)
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.append = append_and_die
build_corpus(sys.argv[1], [parse_source(text) for text in sys.argv[3:]], BuildOptions(), progress=False)
"""


def test_a_build_killed_again_and_again_gives_the_same_bytes(tmp_path: Path):
    english = write(tmp_path / "en.jsonl", [f"document {number % 300} " * (number % 7) for number in range(500)])
    chinese = write(tmp_path / "zh.jsonl", [f"文章{number} " * (number % 5 + 1) for number in range(500)])
    dev = write(tmp_path / "dev.jsonl", [f"document {number} " for number in range(40)])
    sources = [f"en={english},held_out={dev}", f"zh={chinese}"]
    whole = build(tmp_path / "whole", *sources)
    for kill_after in (1, 30, 200, 333):
        command = [sys.executable, "-c", KILLED_BUILD, str(tmp_path / "out"), str(kill_after), *sources]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert not (tmp_path / "out").exists()
    assert contents(build(tmp_path / "out", *sources).folder) == contents(whole.folder)


def test_a_folder_killed_before_its_plan_was_written_is_begun_anew(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", ["one", "two"])
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "plan.json").write_text('{"tok')
    assert len(texts(build(tmp_path / "out", source, held_out_fraction=0).train)) == 2


def test_progress_is_drawn_on_a_terminal(tmp_path: Path, capfd, monkeypatch):
    source = parse_source(write(tmp_path / "a.jsonl", ["one", "two"]))
    build_corpus(tmp_path / "to_a_file", [source])
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # has Rich take it for a terminal
    build_corpus(tmp_path / "to_a_terminal", [source])
    output = capfd.readouterr()
    assert output.out == ""
    assert "Reading documents" in output.err


@pytest.mark.parametrize("content", ["", "\n\n \n\n"])
def test_sources_without_text_are_refused(tmp_path: Path, content: str):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(CorpusError, match="there is no document with text in a; name other sources"):
        build(tmp_path / "out", str(tmp_path / "a.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


BUILD = """
import sys
from howfar.corpus.build import build_corpus
from howfar.corpus.sources import parse_source
from howfar.errors import HowFarError
try:
    build_corpus(sys.argv[1], [parse_source(sys.argv[2])], progress=False)
except HowFarError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def test_of_two_builds_at_once_one_is_whole_and_the_other_refused(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", [f"document {number}" * 50 for number in range(20_000)])
    alone = build_corpus(tmp_path / "alone", [parse_source(source)], progress=False)
    command = [sys.executable, "-c", BUILD, str(tmp_path / "both"), source]
    pair = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in pair]
    assert sorted(process.returncode for process in pair) == [0, 1]
    refused = next(message for message, process in zip(said, pair, strict=True) if process.returncode)
    # The second is told who is there, or, where it came after the end, that all is done.
    assert refused.startswith((f"InUseError: {tmp_path / 'both'} is in use by process", "OutputError: "))
    assert contents(tmp_path / "both") == contents(alone.folder)
    assert hidden_leftovers(tmp_path) == []


def test_a_build_in_a_folder_that_another_builds_is_refused_and_disturbs_nothing(tmp_path: Path):
    source = write(tmp_path / "a.jsonl", ["one", "two"])
    with one_at_a_time(tmp_path / ".out.lock", guards=tmp_path / "out"):
        (tmp_path / ".out.partial").mkdir()
        refused: list[InUseError] = []

        def second() -> None:
            with pytest.raises(InUseError, match="out is in use by process") as caught:
                build(tmp_path / "out", source)
            refused.append(caught.value)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert len(refused) == 1
        assert (tmp_path / ".out.partial").is_dir()
    assert build(tmp_path / "out", source, held_out_fraction=0).train.num_documents == 2

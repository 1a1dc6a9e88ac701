"""Corpora built by several processes are those of one process, to the byte."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from howfar.corpus import preparing, readers
from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.journal import Journal
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.errors import CorpusError, SourceInterruptedError, WorkersError
from howfar.jobs.pool import Pool
from howfar.jobs.workers import AHEAD, work_by
from support.workers import DEADLY, Fatal

BLOCK = 400  # bytes of a piece and of a job, so that there is something to divide


class Counting(Pool):
    """Counts what is handed out."""

    handed = 0

    def submit(self, *arguments: Any) -> Any:
        self.handed += 1
        return super().submit(*arguments)


@pytest.fixture(scope="module")
def pool() -> Iterator[Counting]:
    with Counting(2) as begun:
        begun.share(subword_tokenizer())  # so that its package is imported once, not by each process
        yield begun


@pytest.fixture(autouse=True)
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_BLOCK", BLOCK)
    monkeypatch.setattr(preparing, "_JOB_BYTES", BLOCK)


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Four kinds of files; some documents are in several, some are blank."""
    texts = [f"document {number % 90} of words\r\nand 文章 " * (number % 4) for number in range(120)]
    (tmp_path / "a.txt").write_text("\ufeff" + "\n\n \n".join(texts), encoding="utf-8")
    lines = [json.dumps({"body": None if number % 20 == 9 else f"文章 {number % 70}"}) for number in range(100)]
    (tmp_path / "b.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    pl.DataFrame({"text": [*texts[:30], None, *(f"row {number}" for number in range(70))]}).write_parquet(
        tmp_path / "c.parquet"
    )
    (tmp_path / "d").mkdir()
    for number in range(40):
        (tmp_path / "d" / f"{number:02}.py").write_text(f"def f():\n\n    return {number % 30}\n")
    (tmp_path / "d" / "latin.py").write_bytes(b"name = '\xe9'\n")
    (tmp_path / "dev.txt").write_text("\n\n".join([*texts[3:40:7], "only here"]), encoding="utf-8")
    return [
        f"a={tmp_path}/a.txt,held_out={tmp_path}/dev.txt",
        f"b={tmp_path}/b.jsonl:body",
        f"c={tmp_path}/c.parquet",
        f"d=files:{tmp_path}/d/*.py",
    ]


def subword_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    words = ["document", "words", "and", "文章", "row", "def", "only", "</s>", "<unk>"]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", **options)


def build(out: Path, sources: list[str], tokenizer: PreTrainedTokenizerFast | None = None, **options: Any) -> Corpus:
    parsed = [parse_source(text) for text in sources]
    return build_corpus(out, parsed, BuildOptions(**options), tokenizer=tokenizer, progress=False)


def contents(corpus: Corpus) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in corpus.folder.iterdir()}


@pytest.mark.parametrize(
    "options",
    [
        {"held_out_fraction": 0.2},
        {"balance": "documents", "held_out_documents": 12},
        {"balance": "none", "max_documents_per_source": 35, "seed": 1},
        {"balance": "none", "max_bytes_per_source": 900, "held_out_fraction": 0},
    ],
)
@pytest.mark.parametrize("tokenizer", [None, subword_tokenizer()], ids=["bytes", "subwords"])
def test_a_corpus_is_the_same_by_several_processes(
    sources: list[str], tmp_path: Path, pool: Counting, tokenizer: PreTrainedTokenizerFast | None, options: Any
) -> None:
    alone = build(tmp_path / "alone", sources, tokenizer, **options)
    before = pool.handed
    with work_by(pool):
        corpus = build(tmp_path / "by_two", sources, tokenizer, **options)
    assert pool.handed > before + 12
    assert contents(corpus) == contents(alone)
    assert corpus.train.num_documents > 60
    assert corpus.held_out.num_documents > 2


class Interrupt:
    """Raises an error at a call of `Journal.append`, and only then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
        self.left, append = at, Journal.append

        def append_or_raise(*arguments: Any) -> None:
            self.left -= 1
            if self.left == 0:
                raise error
            append(*arguments)

        monkeypatch.setattr(Journal, "append", append_or_raise)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2), (2, 3)])
def test_an_interrupted_build_goes_on_with_another_number_of_workers(
    sources: list[str],
    tmp_path: Path,
    pool: Counting,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    then: int,
) -> None:
    options = {"balance": "none", "held_out_fraction": 0.1}
    alone = build(tmp_path / "alone", sources, **options)

    def by(number: int) -> Corpus:
        if number == 3:
            with Pool(3) as three, work_by(three):
                return build(tmp_path / "out", sources, **options)
        with work_by(pool if number == 2 else None):
            return build(tmp_path / "out", sources, **options)

    for at in (2, 45, 130):
        Interrupt(monkeypatch, at, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            by(first)
        assert not (tmp_path / "out").exists()
    assert contents(by(then)) == contents(alone)


KILLED_BUILD = """
import os, signal, sys
from howfar.corpus import journal, preparing, readers
from howfar.corpus.build import build_corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.jobs.pool import Pool
from howfar.jobs.workers import work_by

journal._BYTES_BETWEEN_FLUSHES = readers._BLOCK = preparing._JOB_BYTES = 400
append, count = journal.Journal.append, 0

def append_and_die(self, *args):
    global count
    append(self, *args)
    count += 1
    if count == 150:
        os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.append = append_and_die
with Pool(2) as pool, work_by(pool):
    build_corpus(sys.argv[1], [parse_source(text) for text in sys.argv[2:]], BuildOptions(), progress=False)
"""


def test_a_killed_build_goes_on(sources: list[str], tmp_path: Path, pool: Counting) -> None:
    alone = build(tmp_path / "alone", sources)
    command = [sys.executable, "-c", KILLED_BUILD, str(tmp_path / "out"), *sources]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / ".out.partial" / "journal").stat().st_size > 0
    with work_by(pool):
        assert contents(build(tmp_path / "out", sources)) == contents(alone)


def test_what_a_killed_worker_was_doing_is_done_again(
    sources: list[str], tmp_path: Path, pool: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, read = tmp_path / "marker", preparing.read_pieces

    def with_fatal(data: bytes) -> None:
        monkeypatch.setattr(preparing, "read_pieces", lambda *given: chain(read(*given), [Fatal(marker, data)]))

    with_fatal(b"fatal")
    with work_by(pool):
        corpus = build(tmp_path / "out", sources[1:2])
    assert marker.exists()
    with work_by(pool):
        assert contents(build(tmp_path / "again", sources[1:2])) == contents(corpus)
    marker.unlink()
    with_fatal(DEADLY)
    message = "workers were killed 4 times at the same job, .*; give fewer than 2"
    with pytest.raises(WorkersError, match=message), work_by(pool):
        build(tmp_path / "deadly", sources[1:2])
    assert (tmp_path / ".deadly.partial").exists()
    marker.touch()
    with work_by(pool):
        assert build(tmp_path / "deadly", sources[1:2]).train.num_documents == corpus.train.num_documents


def test_errors_are_those_of_one_process(sources: list[str], tmp_path: Path, pool: Counting) -> None:
    good = "".join(f"line {number} of text\n\n" for number in range(80))
    (tmp_path / "bad.txt").write_bytes(good.encode() + b"\ngood\nbad \xff" + good.encode())
    (tmp_path / "bad.jsonl").write_text(60 * '{"text": "a line"}\n' + "{")
    pl.DataFrame({"text": list(range(100))}).write_parquet(tmp_path / "bad.parquet")
    for name in ("bad.txt", "bad.jsonl", "bad.parquet", "none.txt", f"files:{tmp_path}/bad.txt"):
        errors = []
        for workers in (None, pool):
            with pytest.raises(CorpusError) as caught, work_by(workers):
                build(tmp_path / "out", [name if ":" in name else str(tmp_path / name)], balance="none")
            errors.append((type(caught.value), str(caught.value)))
            assert not (tmp_path / ".out.partial").exists()
        assert errors[0] == errors[1]
    with work_by(pool):  # the bad line comes later
        assert build(tmp_path / "out", [str(tmp_path / "bad.txt")], max_documents_per_source=80).train.num_documents


def test_what_a_source_gave_before_it_stopped_is_kept(
    sources: list[str], tmp_path: Path, pool: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, read = build(tmp_path / "alone", sources[1:2]), preparing.read_pieces

    def stopping(*given: Any) -> Iterator[Any]:
        yield next(read(*given))
        raise SourceInterruptedError("no answer")

    monkeypatch.setattr(preparing, "read_pieces", stopping)
    with pytest.raises(SourceInterruptedError, match="no answer"), work_by(pool):
        build(tmp_path / "out", sources[1:2])
    assert (tmp_path / ".out.partial" / "journal").stat().st_size > 0
    monkeypatch.setattr(preparing, "read_pieces", read)
    with work_by(pool):
        assert contents(build(tmp_path / "out", sources[1:2])) == contents(alone)


def test_no_more_is_read_than_a_few_pieces_for_each_worker(
    tmp_path: Path, pool: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"document {number:6}{380 * ' x'}\n\n" for number in range(60)))
    read, taken, most = preparing.read_pieces, 0, 0
    append, used = Journal.append, 0

    def counted(*given: Any) -> Iterator[Any]:
        nonlocal taken
        for piece in read(*given):
            taken += 1
            yield piece

    def append_and_look(*given: Any) -> None:
        nonlocal used, most
        most = max(most, taken - used)
        used += 1
        append(*given)

    monkeypatch.setattr(preparing, "read_pieces", counted)
    monkeypatch.setattr(Journal, "append", append_and_look)
    with work_by(pool):
        build(tmp_path / "out", [str(path)])
    assert used == 60
    assert AHEAD * pool.number <= most <= AHEAD * pool.number + 2


def test_a_tokenizer_that_cannot_be_sent_is_one_line(
    sources: list[str], tmp_path: Path, pool: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = subword_tokenizer()
    tokenizer.of_mine = lambda: None
    with pytest.raises(WorkersError, match=r"cannot be sent to workers \(.*\); work without workers$"), work_by(pool):
        build(tmp_path / "out", sources, tokenizer)
    assert not (tmp_path / ".out.partial").exists()
    monkeypatch.setitem(sys.modules, "only_here", ModuleType("only_here"))
    sys.modules["only_here"].Mine = type("Mine", (PreTrainedTokenizerFast,), {"__module__": "only_here"})  # type: ignore[attr-defined]
    mine = sys.modules["only_here"].Mine(tokenizer_object=subword_tokenizer().backend_tokenizer, eos_token="</s>")
    message = "a worker cannot use what was sent to it (No module named 'only_here'); work without workers"
    with pytest.raises(WorkersError, match=re.escape(message)), work_by(pool):
        build(tmp_path / "out", sources, mine)

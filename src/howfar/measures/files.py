"""Read the inputs of measures from files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from howfar.corpus.corpus import Corpus
from howfar.corpus.readers import read_local_documents
from howfar.corpus.sources import file_and_column
from howfar.errors import ConfigError, TextError
from howfar.inputs import public_name, public_names
from howfar.measures.documents import SourcedTexts
from howfar.measures.inputs import Inputs
from howfar.measures.pairs.lists import read_pairs
from howfar.text.segmentation import Segmentation, read_conllu, read_spaced


def read_inputs(
    *,
    corpus: Path | None = None,
    texts: Sequence[Path] | None = None,
    gold: Sequence[Path] | None = None,
    pairs: Path | None = None,
    **options: Any,
) -> Inputs:
    """Read files; `options` are further attributes of `Inputs`.

    Raises:
        ConfigError: There are both a corpus and texts, or the file of pairs is invalid.
        CorpusError: The corpus or a gold segmentation cannot be read, or a text is not UTF-8.
        TextError: A text cannot be read, or there is no text in the files.
    """
    if corpus is not None and texts:
        raise ConfigError("--corpus and --text are both given; give either --corpus FOLDER or --text FILE, not both")
    named = f"held-out documents of {public_name(corpus)}" if corpus is not None else ", ".join(_names(texts))
    return Inputs(
        origin=named,
        gold_origin=", ".join(_names(gold)),
        texts=Corpus.open(corpus) if corpus is not None else read_texts(texts) if texts else None,
        gold=read_gold(gold) if gold else None,
        pairs=read_pairs(pairs) if pairs is not None else None,
        **options,
    )


def _names(paths: Sequence[Path] | None) -> list[str]:
    return public_names([*map(str, paths or ())])


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Read files of documents: UTF-8 text in which blank lines separate them, lines of JSON, or Parquet.

    Of several files each is a source. After a table's path its field or column may be named: `zh.jsonl:body`.

    Raises:
        TextError: A file cannot be read, or there is no text in them.
        CorpusError: One is not UTF-8.
    """
    by_file = {name: list(_documents(path)) for name, path in zip(_names(paths), paths, strict=True)}
    documents = SourcedTexts(by_file) if len(by_file) > 1 else next(iter(by_file.values()))
    if not documents:
        raise TextError("there is no text in the files; give some that have text, documents separated by blank lines")
    return documents


def _documents(path: Path) -> Iterator[str]:
    try:
        file, column = file_and_column(str(path))
        for document in read_local_documents(Path(file), column):
            yield document.decode()
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror}); give a text file") from error


class GoldFiles:
    """Gold segmentations in files: CoNLL-U if a name ends in .conllu, else words separated by spaces.

    Sentences are read anew at each iteration, so that memory does not grow with the files. Several files are sources,
    read in turns, a document of each at a time.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[Segmentation]:
        if len(self._paths) == 1:
            yield from _sentences(self._paths[0])
            return
        names = _names(self._paths)
        waiting = deque(_by_document(path, name) for path, name in zip(self._paths, names, strict=True))
        while waiting:
            documents = waiting.popleft()
            if (document := next(documents, None)) is not None:
                yield from document
                waiting.append(documents)


def _sentences(path: Path) -> Iterator[Segmentation]:
    yield from (read_conllu if path.suffix.lower() == ".conllu" else read_spaced)(path)


def _by_document(path: Path, source: str) -> Iterator[list[Segmentation]]:
    """The sentences of each document of a file."""
    document: list[Segmentation] = []
    for sentence in _sentences(path):
        if sentence.begins_document and document:
            yield document
            document = []
        document.append(replace(sentence, source=source))
    yield document


def read_gold(paths: Sequence[Path]) -> GoldFiles:
    """Open gold segmentations, and check that all of them can be read.

    Raises:
        CorpusError: A file cannot be read, or does not match its name.
    """
    gold = GoldFiles(paths)
    for _ in gold:
        pass
    return gold

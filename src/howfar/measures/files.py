"""Read the inputs of measures from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from howfar.corpus.corpus import Corpus
from howfar.corpus.readers import read_local_documents
from howfar.errors import ConfigError, TextError
from howfar.inputs import public_name, public_names
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
    paths = [path for given in (texts, gold) if given for path in given]
    origin = [f"held-out documents of {public_name(corpus)}"] if corpus is not None else []
    return Inputs(
        origin=", ".join([*origin, *public_names([*map(str, paths)])]),
        texts=Corpus.open(corpus) if corpus is not None else read_texts(texts) if texts else None,
        gold=read_gold(gold) if gold else None,
        pairs=read_pairs(pairs) if pairs is not None else None,
        **options,
    )


def read_texts(paths: Iterable[Path]) -> list[str]:
    """Read files of documents: UTF-8 text in which blank lines separate them, lines of JSON, or Parquet.

    Raises:
        TextError: A file cannot be read, or there is no text in them.
        CorpusError: One is not UTF-8.
    """
    documents = [document for path in paths for document in _documents(path)]
    if not documents:
        raise TextError("there is no text in the files; give some that have text, documents separated by blank lines")
    return documents


def _documents(path: Path) -> Iterator[str]:
    try:
        for document in read_local_documents(path):
            yield document.decode()
    except OSError as error:
        raise TextError(f"{path} cannot be read ({error.strerror}); give a text file") from error


class GoldFiles:
    """Gold segmentations in files: CoNLL-U if a name ends in .conllu, else words separated by spaces.

    Sentences are read anew at each iteration, so that memory does not grow with the files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[Segmentation]:
        for path in self._paths:
            yield from (read_conllu if path.suffix.lower() == ".conllu" else read_spaced)(path)


def read_gold(paths: Sequence[Path]) -> GoldFiles:
    """Open gold segmentations, and check that all of them can be read.

    Raises:
        CorpusError: A file cannot be read, or does not match its name.
    """
    gold = GoldFiles(paths)
    for _ in gold:
        pass
    return gold

"""What a measure may be given besides a model, and where it is read from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from howfar.corpus.corpus import Corpus
from howfar.corpus.readers import read_local_documents
from howfar.errors import ConfigError, TextError
from howfar.measures.pairs.lists import Pair, read_pairs
from howfar.text.segmentation import Segmentation, read_conllu, read_spaced


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a measure may be given; each takes some of it.

    Attributes:
        texts: A corpus, of which the held-out documents are read (and the training part is counted in), or texts.
        gold: Documents with known boundaries.
        target: A name from `howfar.measures.boundaries.targets.TARGETS`.
        pairs: Entities of two words; None for the list that comes with the package.
        language: Of that list.
        classes: Classes of tokens, `"text"` or `"code"`.
        against: Names of models to compare the loss with.
        sample: How much to measure on, in the measure's own unit; its default where None.
        seed: Of samples and intervals.
    """

    texts: Corpus | Sequence[str] | None = None
    gold: Sequence[Segmentation] | None = None
    target: str | None = None
    pairs: Sequence[Pair] | None = None
    language: str | None = None
    classes: str | None = None
    against: Sequence[str] | None = None
    sample: int | None = None
    seed: int = 0

    @property
    def given(self) -> set[str]:
        """Names of what was given; `corpus` if the texts are one; `seed`, which always is, left out."""
        names = {field.name for field in fields(self) if getattr(self, field.name) is not None} - {"seed"}
        return names if self.corpus is None else names - {"texts"} | {"corpus"}

    def only(self, names: set[str]) -> Inputs:
        """Those of them that have one of these names; and the seed."""
        kept = {"texts" if name == "corpus" else name for name in self.given & names}
        return Inputs(**{name: getattr(self, name) for name in kept}, seed=self.seed)

    @property
    def some_texts(self) -> Corpus | Sequence[str]:
        """The texts, for a measure that needs some."""
        assert self.texts is not None, "a measure's needs are checked before it is run"
        return self.texts

    @property
    def corpus(self) -> Corpus | None:
        """The texts, if they are a corpus."""
        return self.texts if isinstance(self.texts, Corpus) else None


def read_inputs(
    *,
    corpus: Path | None = None,
    texts: Sequence[Path] | None = None,
    gold: Sequence[Path] | None = None,
    pairs: Path | None = None,
    **options: Any,
) -> Inputs:
    """Read what is in files; `options` are further attributes of `Inputs`.

    Raises:
        ConfigError: There are both a corpus and texts, or the file of pairs is no such file.
        CorpusError: The corpus or a gold segmentation cannot be read, or a text is not UTF-8.
        TextError: A text cannot be read, or there is none in them.
    """
    if corpus is not None and texts:
        raise ConfigError("give either --corpus FOLDER or --text FILE, not both")
    return Inputs(
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


def read_gold(paths: Iterable[Path]) -> list[Segmentation]:
    """Read gold segmentations: CoNLL-U where a file's name ends in .conllu, else words parted by spaces.

    Raises:
        CorpusError: A file cannot be read, or is not what its name says.
    """
    return [sentence for path in paths for sentence in (read_conllu if path.suffix == ".conllu" else read_spaced)(path)]

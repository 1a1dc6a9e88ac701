"""A tokenizer of subwords, trained on a corpus of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, CorpusError
from howfar.files import whole_folder
from howfar.text.tokenizer import subword_tokenizer


def write_subword_tokenizer(
    folder: str | Path, corpus: Corpus, *, vocabulary_size: int = 4096, max_bytes: int = 20_000_000
) -> int:
    """Train a byte-level BPE on a corpus's training documents and save it; held-out documents are not read.

    Args:
        folder: The folder to make; it must not exist yet or must be empty.
        corpus: A corpus of bytes.
        vocabulary_size: Number of ids, of the end of a document too.
        max_bytes: About how much text to read, as documents that are drawn from the whole corpus.

    Returns:
        Bytes of the documents that were read.

    Raises:
        ConfigError: A number is out of range, or the text is too short for so many ids.
        CorpusError: The corpus has other tokens, or no training documents.
        OutputError: The folder cannot be written or is not empty.
    """
    if max_bytes < 1:
        raise ConfigError(f"at most {max_bytes} bytes of text would be read; give 1 or more")
    if corpus.tokenizer_name != "bytes":
        raise CorpusError(
            f"the corpus in {corpus.folder} is tokenized by {corpus.tokenizer_name!r}; name one of bytes, which "
            "`howfar corpus build` makes without --tokenizer"
        )
    sizes = np.asarray(corpus.train.num_bytes, dtype=np.int64)
    # By lot: documents of sources take turns, so every second one may be of one source.
    order = np.random.default_rng(0).permutation(len(sizes))
    chosen = np.sort(order[: 1 + np.searchsorted(sizes[order].cumsum(), max_bytes)])
    if not len(chosen):
        raise CorpusError(f"the corpus in {corpus.folder} has no training documents; build one that has some")

    def texts() -> Iterator[str]:
        for number in chosen.tolist():
            yield corpus.train.document(number).astype(np.uint8).tobytes().decode()

    with whole_folder(folder) as partial:
        subword_tokenizer(texts(), vocabulary_size).save_pretrained(partial)
    return int(sizes[chosen].sum())

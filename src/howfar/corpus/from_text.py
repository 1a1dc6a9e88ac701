"""A corpus that is built directly from text when it is needed, with default options."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from howfar.corpus.build import build_corpus, unfinished_options
from howfar.corpus.corpus import MANIFEST, Corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.errors import OutputError
from howfar.text.marks import end_of_document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HELD_OUT_SHARE = 0.05


def corpus_from_text(sources: Sequence[str], tokenizer: PreTrainedTokenizerBase, folder: Path) -> Corpus:
    """Build a corpus, or open the one that was built before from the same sources.

    Args:
        sources: Written as for `howfar corpus build`: files, folders, globs, `name=path`.
        tokenizer: Any Transformers tokenizer.
        folder: The corpus's folder.

    Raises:
        ConfigError: The tokenizer has no token to separate documents, or a source is malformed.
        CorpusError: A source cannot be read.
        OutputError: The folder holds another corpus, or cannot be written.
    """
    parsed = [parse_source(source) for source in sources]
    if (folder / MANIFEST).is_file():
        corpus = Corpus.open(folder)
        wanted = [json.loads(json.dumps(source.provenance())) for source in parsed]
        found = [{key: source.get(key) for key in wanted[0]} for source in corpus.manifest["sources"]]
        if found == wanted and corpus.end_of_document == end_of_document(tokenizer):
            return corpus
        another = "document mark" if found == wanted else "text"
        raise OutputError(
            f"{folder.parent} holds a graft with another {another}, whose corpus is {folder}; choose another output "
            f"folder, or give the same {another} again"
        )
    options = BuildOptions(held_out_fraction=HELD_OUT_SHARE, balance="none")
    first_held_out = dataclasses.replace(options, held_out_documents=1)
    if unfinished_options(folder) != vars(first_held_out):  # else the second of these builds was stopped, and goes on
        corpus = build_corpus(folder, parsed, options, tokenizer=tokenizer, progress=False)
        train = corpus.train
        if corpus.held_out.num_documents or train.offsets[1] - train.offsets[0] > len(train.tokens) / 2:
            return corpus
        # The share of a few documents may be none. A loss needs one: the first, unless it is most of the text.
        shutil.rmtree(folder)
    return build_corpus(folder, parsed, first_held_out, tokenizer=tokenizer, progress=False)

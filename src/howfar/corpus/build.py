"""Building a corpus from sources of documents.

Documents are read once, in a fixed order, and written as they come; memory grows only by the documents' digests. The
work lies in a hidden folder beside the corpus until it is whole, and a build that was killed goes on where it stopped
when it is started again with the same arguments: its result is the same to the byte.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from howfar.corpus.corpus import Corpus
from howfar.corpus.encoding import DocumentEncoder
from howfar.corpus.journal import Journal
from howfar.corpus.manifest import finish_corpus
from howfar.corpus.selection import BuildOptions, Selection
from howfar.corpus.sources import LocalFiles, Source, check_sources
from howfar.errors import CorpusError, HowFarError, OutputError, SourceInterruptedError
from howfar.files import read_json, refused_by_name
from howfar.locks import one_at_a_time
from howfar.progress import progress_bars

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLAN = "plan.json"


def build_corpus(
    out: str | Path,
    sources: Sequence[Source],
    options: BuildOptions | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    progress: bool = True,
) -> Corpus:
    """Build a corpus.

    A document whose text occurred before in its split is dropped, and so is a training document whose text is held out;
    `corpus.json` counts both.

    Args:
        out: The folder to make; it must not exist yet, or be empty.
        sources: Where the documents come from.
        options: How they are chosen.
        tokenizer: A Transformers tokenizer; None is the byte tokenizer.
        progress: Whether to draw a progress bar on standard error, where that is a terminal.

    Returns:
        The corpus, opened.

    Raises:
        ConfigError: An option or the tokenizer will not do.
        CorpusError: A source cannot be read, none has any text, or an unfinished build with other arguments is in the
            way.
        InUseError: Another process builds the same corpus.
        OutputError: `out` exists already or cannot be written.
        MissingExtraError: A package that a source needs is not installed.
    """
    out, options = Path(out), options or BuildOptions()
    check_sources(sources)
    encoder = DocumentEncoder(tokenizer)
    with refused_by_name(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(out.parent / f".{out.name}.lock", guards=out):
        return _build(out, sources, options, encoder, progress)


def _build(
    out: Path, sources: Sequence[Source], options: BuildOptions, encoder: DocumentEncoder, progress: bool
) -> Corpus:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already; name another folder, or remove this one first")
    description = {
        "tokenizer": encoder.provenance(),
        "options": vars(options),
        "sources": [source.provenance() for source in sources],
    }
    partial = out.parent / f".{out.name}.partial"
    _check_plan(partial, description)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        (partial / _PLAN).write_text(json.dumps(description), encoding="utf-8")
        with Journal(partial, encoder.end_of_document, encoder.dtype) as journal:
            selection = Selection(sources, options, encoder, journal)
            _run(selection, _expected_bytes(sources, options), progress)
            if not selection.num_bytes:
                raise CorpusError(
                    f"there is no document with text in {', '.join(source.name for source in sources)}; name other "
                    "sources, or higher limits"
                )
            journal.flush()
            finish_corpus(partial, journal.records(), description)
        journal.remove()
        (partial / _PLAN).unlink()
        partial.replace(out)
    except SourceInterruptedError:
        raise  # what was read so far is kept, to go on from
    except HowFarError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        with refused_by_name(out, "name another place"):
            raise
    return Corpus.open(out)


def _check_plan(partial: Path, description: dict[str, Any]) -> None:
    """Refuse to go on with a build of other sources or options."""
    try:
        plan = read_json(partial / _PLAN)
    except (OSError, ValueError):
        shutil.rmtree(partial, ignore_errors=True)  # killed before anything was read
        return
    if plan != json.loads(json.dumps(description)):
        raise CorpusError(
            f"{partial} holds an unfinished build with other sources or options; repeat that build's command to finish "
            "it, or remove the folder to begin anew"
        )


def _run(selection: Selection, expected_bytes: int, visible: bool) -> None:
    with progress_bars("bytes", visible=visible) as begin:
        advance = begin("Reading documents")
        for _ in selection.run():
            advance(selection.num_bytes, expected_bytes)


def _expected_bytes(sources: Sequence[Source], options: BuildOptions) -> int:
    """Guess from file sizes how much will be kept, for the progress bar; 0 where a source does not say."""
    sizes = []
    for source in sources:
        if not isinstance(source.location, LocalFiles):
            return 0
        size = sum(file.stat().st_size for file in source.location.files())
        sizes.append(size if options.max_bytes_per_source is None else min(size, options.max_bytes_per_source))
    return min(sizes) * len(sizes) if options.balance == "bytes" else sum(sizes)

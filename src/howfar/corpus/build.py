"""Building a corpus from sources of documents.

Documents are read once, in a fixed order, and written as they come; memory grows only by the documents' digests. The
work is in a hidden folder beside the corpus until it is complete. A build that was killed, or that found the disk
full, continues when it is started again with the same arguments, and its result is the same to the byte. Inside
`howfar.workers` several processes read and encode documents. This process chooses and writes them, so the result is the
same again.
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
from howfar.corpus.preparing import Preparation
from howfar.corpus.selection import BuildOptions, Selection
from howfar.corpus.sources import LocalFiles, Source, check_sources
from howfar.errors import ConfigError, CorpusError, HowFarError, OutputError, SourceInterruptedError, WorkersError
from howfar.files import FULL, check_replaceable, refused_by_name
from howfar.inputs import read_json
from howfar.locks import one_at_a_time
from howfar.progress import progress_bars

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLAN = "plan.json"
_BYTES_BETWEEN_PROGRESS = 2**16
_NO_ROOM = (*FULL, None)  # NumPy's errors have no number


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
        out: The folder to make; it must not exist yet or must be empty.
        sources: The sources of documents.
        options: How documents are chosen.
        tokenizer: A Transformers tokenizer; None for the byte tokenizer.
        progress: Whether to draw a progress bar on standard error, if that is a terminal.

    Returns:
        The corpus, opened.

    Raises:
        ConfigError: An option or the tokenizer is not usable.
        CorpusError: A source cannot be read, no source has text, or an unfinished build with other arguments is in the
            way.
        InUseError: Another process builds the same corpus.
        OutputError: `out` exists already or cannot be written. If the disk was full, the same call continues the build.
        MissingExtraError: A package that a source needs is not installed.
        WorkersError: Workers were lost; the same call continues the build. Or the tokenizer cannot be sent to them.
    """
    out, options = Path(out), options or BuildOptions()
    if out.exists() and out.samefile(Path.cwd()):  # it is replaced at the end, under the feet of whoever is in it
        raise OutputError(f"{out} is the current folder; name a folder to make in it")
    target = out.resolve() if out.is_symlink() else out  # a folder cannot be moved over a link
    check_replaceable(target)
    check_sources(sources)
    if options.held_out_documents is not None and all(source.held_out is not None for source in sources):
        raise ConfigError(
            f"held_out_documents is {options.held_out_documents}, but every source names its held-out text, which is "
            "held out whole; leave one of the two out"
        )
    encoder = DocumentEncoder(tokenizer)
    with refused_by_name(out):
        target.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(target.parent / f".{target.name}.lock", guards=out):
        return _build(target, sources, options, encoder, progress)


def unfinished_options(out: Path) -> Any:
    """The options of an unfinished build of a corpus, as its plan holds them; None if there is no such build."""
    try:
        return read_json(_partial(out.resolve()) / _PLAN)["options"]
    except (OSError, ValueError):
        return None


def _build(
    out: Path, sources: Sequence[Source], options: BuildOptions, encoder: DocumentEncoder, progress: bool
) -> Corpus:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already; name another folder, or remove this one first")
    preparation = Preparation(encoder, options.seed, len(sources))
    description = {
        "tokenizer": encoder.provenance(),
        "options": vars(options),
        "sources": [source.provenance() for source in sources],
    }
    partial = _partial(out)
    _check_plan(partial, description)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        if not (partial / _PLAN).exists():  # written anew on a full disk, it would be lost
            (partial / _PLAN).write_text(json.dumps(description), encoding="utf-8")
        with Journal(partial, encoder.end_of_document, encoder.dtype) as journal:
            selection = Selection(sources, options, preparation, journal)
            _run(selection, _expected_bytes(sources, options), progress)
            if [source.provenance() for source in sources] != description["sources"]:
                raise CorpusError("a source's files changed while they were read; build the corpus again")
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
    except (SourceInterruptedError, WorkersError):
        raise  # the finished part is kept, to continue from
    except HowFarError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:  # the finished part is kept
            raise OutputError(
                f"{out} cannot be written ({error.strerror or error}); make room and start the same command again, "
                f"which continues from {partial}"
            ) from error
        shutil.rmtree(partial, ignore_errors=True)
        with refused_by_name(out, "name another place"):
            raise
    return Corpus.open(out)


def _partial(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"


def _check_plan(partial: Path, description: dict[str, Any]) -> None:
    """Refuse to continue a build with other sources or options."""
    try:
        plan = read_json(partial / _PLAN)
    except (OSError, ValueError):
        shutil.rmtree(partial, ignore_errors=True)  # killed before anything was read
        return
    if plan != json.loads(json.dumps(description)):
        raise CorpusError(
            f"{partial} holds an unfinished build with other sources or options; repeat that build's command to finish "
            "it, or remove the folder to start over"
        )


def _run(selection: Selection, expected_bytes: int, visible: bool) -> None:
    with progress_bars("bytes", visible=visible) as begin:
        advance, shown = begin("Reading documents"), 0
        for _ in selection.run():
            if selection.num_bytes >= shown + _BYTES_BETWEEN_PROGRESS:
                shown = selection.num_bytes
                advance(shown, expected_bytes)


def _expected_bytes(sources: Sequence[Source], options: BuildOptions) -> int:
    """Estimate the final size from file sizes, for the progress bar; 0 if a source has no size."""
    sizes = []
    for source in sources:
        if not isinstance(source.location, LocalFiles):
            return 0
        size = sum(file.stat().st_size for file in source.location.files())
        sizes.append(size if options.max_bytes_per_source is None else min(size, options.max_bytes_per_source))
    return min(sizes) * len(sizes) if options.balance == "bytes" else sum(sizes)

"""`howfar corpus build`, `howfar corpus tokenizer` and `howfar corpus indexing`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from howfar.commands.options import NumWorkers, Ray
from howfar.commands.output import say

app = typer.Typer(help="Make corpora to train and measure on.", no_args_is_help=True)


Balance = Literal["bytes", "documents", "none"]


@app.callback()
def corpus() -> None:
    """Make corpora to train and measure on."""


@app.command()
def build(
    output: Annotated[Path, typer.Argument(help="Folder to make.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<source>",
            help="[NAME=]LOCATION; add ,held_out=LOCATION for text to hold out; may be repeated. A "
            "location is text (a.txt, with blank lines between documents), files:GLOB (one document per file), "
            "a.jsonl[:FIELD], a.parquet[:COLUMN], or hub:OWNER/NAME[:CONFIG]. Default: Wikipedia in English and "
            "Chinese, from the Hub.",
        ),
    ] = None,
    balance: Annotated[Balance, typer.Option(help="Balance sources by bytes, by documents, or not at all.")] = "bytes",
    held_out_fraction: Annotated[float, typer.Option(help="Share of documents kept from training.")] = 0.01,
    held_out_documents: Annotated[
        int | None, typer.Option(help="Hold out this many first documents of each source instead.")
    ] = None,
    max_documents: Annotated[int | None, typer.Option(help="The most documents of each source.")] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            help="Read each source until it gave this many bytes, held out or not; held_out=LOCATION does not count."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Determines which documents are held out.")] = 0,
    tokenizer: Annotated[
        str | None, typer.Option(help="Hub id or folder of a tokenizer; by default the text's bytes.")
    ] = None,
    mark: Annotated[
        str | None,
        typer.Option(help="Its token between documents. [default: its end of sequence]"),
    ] = None,
    workers: NumWorkers = 1,
    ray: Ray = None,
) -> None:
    """Turn documents into a corpus: a training part, and whole documents held out.

    Example: howfar corpus build corpora/mine --source 'notes/*.txt'

    A build that was killed continues when the same command is given again, with any number of workers.
    """
    import howfar
    from howfar.corpus.build import build_corpus
    from howfar.corpus.corpus import MANIFEST
    from howfar.corpus.selection import BuildOptions
    from howfar.corpus.sources import WIKIPEDIA, parse_source
    from howfar.errors import ConfigError
    from howfar.text.marks import choose_mark

    if mark is not None and tokenizer is None:
        raise ConfigError("--mark names a token of a tokenizer, but none is given; add --tokenizer, or leave it out")

    options = BuildOptions(
        held_out_fraction=held_out_fraction,
        held_out_documents=held_out_documents,
        balance=balance,
        max_bytes_per_source=max_bytes,
        max_documents_per_source=max_documents,
        seed=seed,
    )
    sources, reads = [parse_source(text) for text in source or WIKIPEDIA], None
    if tokenizer is not None:
        from howfar.models.folders import find_model
        from howfar.models.pretrained import load_tokenizer

        reads = load_tokenizer(find_model(tokenizer))
        if mark is not None:
            choose_mark(reads, mark)
    with howfar.workers(workers, ray=ray):
        made = build_corpus(output, sources, options, tokenizer=reads)
    if reads is not None:
        say(f"Token between documents: {reads.convert_ids_to_tokens(made.manifest['tokenizer']['end_of_document'])}")
    for split in (made.train, made.held_out):
        documents = "document" if split.num_documents == 1 else "documents"
        typer.echo(
            f"{split.name.replace('_', ' ')}: {split.num_documents:,} {documents}, {int(split.num_bytes.sum()):,} bytes"
        )
    for outcome, why in {"duplicate": "there already", "in_held_out": "held out, too"}.items():
        if num := sum(source["dropped"][outcome] for source in made.manifest["sources"]):
            say(f"left out: {num:,} {'document that is' if num == 1 else 'documents that are'} {why}")
    if not made.held_out.num_documents:
        advice = (
            "build it again with --held-out-documents 1 or more"
            if made.train.num_documents > 1
            else "separate documents by blank lines, or build it again with `--source NAME=TEXT,held_out=TEXT`"
        )
        typer.echo(f"No document is held out, so no loss can be measured: {advice}.")
    if not made.train.num_documents:
        typer.echo("No document is left to train on.")
    if others := [name for source in made.manifest["sources"] for name in source["not_text"]]:
        say(f"left out: {len(others):,} files that are not UTF-8 text, listed in {made.folder / MANIFEST}")


@app.command()
def tokenizer(
    output: Annotated[Path, typer.Argument(help="Folder to make.")],
    corpus: Annotated[Path, typer.Option(help="Folder of a corpus of bytes; its training documents are read.")],
    vocabulary: Annotated[int, typer.Option(help="Number of tokens, the one between documents included.")] = 4096,
    max_bytes: Annotated[int, typer.Option(help="About how much text to read.")] = 20_000_000,
) -> None:
    """Train a tokenizer of subwords (byte-level BPE) on a corpus.

    Example: howfar corpus tokenizer tokenizers/bpe --corpus corpora/mine

    Then build the corpus again with it: howfar corpus build corpora/mine-bpe --tokenizer tokenizers/bpe --source ...
    """
    from howfar.corpus.corpus import Corpus
    from howfar.corpus.subwords import write_subword_tokenizer

    read = write_subword_tokenizer(output, Corpus.open(corpus), vocabulary_size=vocabulary, max_bytes=max_bytes)
    say(f"The tokenizer of {vocabulary:,} tokens, from {read:,} bytes of text, is in {output}")


@app.command()
def indexing(
    output: Annotated[Path, typer.Argument(help="Folder to make.")],
    documents: Annotated[int, typer.Option(help="Documents to train on.")] = 100_000,
    held_out_documents: Annotated[int, typer.Option(help="Documents to hold out.")] = 1_000,
    length: Annotated[int, typer.Option(help="The most characters of a string; the fewest are half as many.")] = 40,
    largest_offset: Annotated[int, typer.Option(help="The farthest that a hop goes, to the left or right.")] = 9,
    hops: Annotated[int, typer.Option(help="The most hops of a question.")] = 2,
    questions: Annotated[int, typer.Option(help="Questions in a document.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Determines all documents.")] = 0,
) -> None:
    """Write documents of indirect indexing: which character is so many places from another?

    Example: howfar corpus indexing texts/indexing

    Train on a corpus of them, then: howfar measure indexing
    """
    from howfar.corpus.indexing import write_indexing
    from howfar.text.indexing import IndexingTask

    task = IndexingTask(length=length, largest_offset=largest_offset, hops=hops, questions=questions)
    train, held_out = write_indexing(output, task, num_documents=documents, num_held_out=held_out_documents, seed=seed)
    source = shlex.quote(f"indexing={train},held_out={held_out}")
    say(f"The documents are in {output}; make a corpus: howfar corpus build corpora/indexing --source {source}")

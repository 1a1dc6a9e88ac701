"""Options that several commands share: the inputs of measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from howfar.measures import choices

Corpus = Annotated[
    Path | None,
    typer.Option(help="Corpus folder: held-out documents are measured, n-grams are counted in the training part."),
]
Texts = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="<path>",
        help="UTF-8 text with blank lines between documents, or a.jsonl[:FIELD], a.parquet[:COLUMN]. May be repeated; "
        "files are pooled.",
    ),
]
Gold = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="<path>",
        help="Known boundaries: CoNLL-U, or a sentence on each line with words separated by spaces. May be repeated.",
    ),
]
Classes = Annotated[
    choices.Classes | None,
    typer.Option(help="Classes of tokens, in increments and information; code is source code. [default: text]"),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed for sampling and bootstrap intervals.")]
Mark = Annotated[
    str | None,
    typer.Option(help="Token before each text. [default: the tokenizer's own, else its end of sequence]"),
]

Device = Annotated[
    str | None,
    typer.Option(
        help="Device that runs the model: cuda, cuda:1, mps, or auto, which divides it over all. [default: cpu]"
    ),
]
DType = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    typer.Option(
        "--dtype", help="Type of the model's weights; auto is the file's. [default: float32, or as a graft was saved]"
    ),
]

NumWorkers = Annotated[int, typer.Option(min=1, help="Processes that read; they share the machine's threads.")]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="[<address>]", help="Read on a Ray cluster: HOST:PORT or ray://HOST:PORT; default: a running one."
    ),
]


def placed(device: str | None, dtype: str | None) -> dict[str, Any]:
    """The arguments of `howfar.load` that these options give.

    Raises:
        ConfigError: PyTorch cannot use the device.
    """
    if device is None or device == "auto":
        return {"device_map": device, "dtype": dtype}
    from howfar.models.devices import find_device

    return {"device": find_device(device), "dtype": dtype}


def with_address(words: list[str]) -> list[str]:
    """The words of a command, with an empty address after a `--ray` that has none."""
    end = words.index("--") if "--" in words else len(words)  # what follows is no option
    pairs = zip(words[:end], [*words[1:end], "-"], strict=False)
    return ["--ray=" if word == "--ray" and after.startswith("-") else word for word, after in pairs] + words[end:]


def check_given(*models: str | None, corpus: Path | None = None, files: Sequence[Path] = ()) -> None:
    """Check names and paths before anything slow is loaded; a file may be followed by its column: `zh.jsonl:body`.

    Raises:
        ModelNotFoundError: The model does not exist.
        CorpusError: The corpus does not exist, or lacks a file.
        TextError: The file does not exist.
    """
    from howfar.corpus.corpus import Corpus
    from howfar.corpus.sources import file_and_column
    from howfar.errors import TextError
    from howfar.models.folders import find_model

    for path in files:
        try:
            Path(file_and_column(str(path))[0]).stat()
        except OSError as error:
            raise TextError(f"{path} cannot be read ({error.strerror}); name an existing file") from None
    if corpus is not None:
        Corpus.open(corpus)
    for model in models:
        find_model(model)

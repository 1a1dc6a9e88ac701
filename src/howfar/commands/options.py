"""Options that several commands share: what measures are taken on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Corpus = Annotated[
    Path | None,
    typer.Option(help="Corpus: its held-out documents are measured on, its training part is counted in."),
]
Texts = Annotated[
    list[Path] | None,
    typer.Option(metavar="<path>", help="UTF-8 text instead, documents parted by empty lines. May be repeated."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of samples and intervals.")]

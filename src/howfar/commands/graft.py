"""`howfar graft`: give a pretrained model learned positions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from howfar.errors import ConfigError


class Trained(StrEnum):
    """What is trained beside the increments."""

    INCREMENTS = "increments"
    LORA = "lora"
    FULL = "full"


class Scope(StrEnum):
    """Which layers share increments."""

    SHARED = "shared"
    PER_LAYER = "per_layer"


def graft(
    model: Annotated[str, typer.Argument(help="Pretrained model: a Hub id, a folder or a GGUF file.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Corpus of the model's tokens, from `howfar corpus build --tokenizer MODEL`.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Text to train on instead of a corpus: files, folders, globs. May be repeated."),
    ] = None,
    train: Annotated[
        Trained, typer.Option(help="Train the increments alone, with a LoRA adapter, or with all weights.")
    ] = Trained.INCREMENTS,
    scope: Annotated[Scope | None, typer.Option(help="One set of positions for all layers, or one per layer.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps; those of the recipe where not given.")
    ] = None,
    context: Annotated[int | None, typer.Option(min=2, help="Tokens in a window.")] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Train the same with plain positions too, on the same windows.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the model on the Hub.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="TOML file, or the name of a bundled recipe; `graft-increments` and so on.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the graft.")] = None,
) -> None:
    """Give a pretrained model learned positions, starting as exactly the model that it is, and train them.

    Started again with the same arguments it carries on where it stopped.
    """
    from howfar.training.graft import corpus_from_text, graft
    from howfar.training.graft_recipe import GraftRecipe

    output = output or Path("runs", f"graft-{Path(model).stem}-{train.value}")
    if (corpus is None) == (text is None):
        raise ConfigError("a graft needs text to train on; give either --corpus FOLDER or --text FILE")
    overrides: dict[str, Any] = {"base": model, "revision": revision, "train": train.value, "name": output.name}
    overrides |= {"increments": {"scope": scope.value}} if scope else {}
    overrides |= {"trainer": {"max_steps": steps}} if steps else {}
    overrides |= {"context": context} if context else {}
    overrides |= {"baseline": True} if baseline else {}
    overrides["corpus"] = str(corpus or output / "corpus")
    chosen = GraftRecipe.load(recipe or f"graft-{train.value}", overrides=overrides)
    if text:
        corpus_from_text(text, model, output / "corpus", revision=revision)
    graft(chosen, output)
    _report(output)


def _report(folder: Path) -> None:
    """Say what came of it."""
    from howfar.models.graft_card import LABELS
    from howfar.training.checkpoints import read_record

    losses = read_record(folder).get("losses", {})
    for name, loss in losses.items():
        typer.echo(f"{loss['nats_per_byte']:.5f} nats per byte, {LABELS[name]}")
    if losses:
        typer.echo(f"on {losses['graft']['documents']:,} held-out documents")
    typer.echo(f'The graft is in {folder}; look at it with: howfar show --model {folder} "Some text."')

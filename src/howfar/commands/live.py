"""`howfar live` and `howfar export`: models outside Python."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from howfar.commands.output import say


def live(
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Bundled models, or folders of byte models; by default all bundled models."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(help="Folder of the npm package onnxruntime-web; by default fetched with npm."),
    ] = None,
) -> None:
    """Write a page on which models run in the visitor's browser, without a server.

    Example: howfar live site && python -m http.server --directory site
    """
    from howfar.live.site import write_site

    site = write_site(output, models or [], runtime=runtime)
    for name, size in site.model_bytes.items():
        say(f"{name}: {size / 1e6:.1f} MB")
    say(
        f"{site.folder}: {site.num_bytes / 1e6:.1f} MB, {site.runtime_bytes / 1e6:.1f} of them the runtime; "
        f"look at it with: python -m http.server --directory {shlex.quote(str(site.folder))}"
    )


def export(
    form: Annotated[Literal["onnx"], typer.Argument(metavar="FORMAT", help="onnx.")],
    model: Annotated[str, typer.Argument(help="Bundled model, folder or Hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
) -> None:
    """Write a model in another format, checked against PyTorch.

    Example: howfar export onnx bilingual-per-layer -o model.onnx
    """
    from howfar.live.export import export_onnx
    from howfar.models.loading import load

    exported = export_onnx(load(model), output)
    say(
        f"{output}: {exported.num_bytes / 1e6:.1f} MB; surprisal within {exported.surprisal_error:.0e} of "
        f"PyTorch, increments within {exported.increment_error:.0e} of their mean size"
    )

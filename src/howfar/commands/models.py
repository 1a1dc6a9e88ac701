"""`howfar models`: the bundled models."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from howfar.commands.output import console


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List the bundled models.

    Name any other model by its folder or Hub id.
    """
    from howfar.models.bundled import bundled_models

    found = bundled_models()
    if as_json:
        typer.echo(json.dumps([asdict(model) for model in found], indent=1, default=str))
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "parameters", "size", "held-out loss", "trained on", "licence"):
        numeric = heading in ("parameters", "size", "held-out loss")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=heading != "trained on")
    for model in found:
        loss = model.held_out_nats_per_byte
        table.add_row(
            model.name,
            f"{model.num_parameters / 1e6:.2f} M",
            f"{model.num_bytes / 1e6:.1f} MB",
            "" if loss is None else f"{loss:.3f} nats/byte",
            model.data,
            model.licence,
        )
    console().print(table)

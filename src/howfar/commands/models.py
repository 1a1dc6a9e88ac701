"""`howfar models`: the bundled models."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from howfar.commands.output import console, say, say_json


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """List the bundled models.

    Name any other model by its folder or Hub id.
    """
    from howfar.models.bundled import bundled_models

    found = bundled_models()
    if as_json:
        say_json([{**asdict(model), "folder": str(model.folder)} for model in found])
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for heading in ("name", "parameters", "nats/byte", "trained on"):
        is_number = heading in ("parameters", "nats/byte")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=heading != "trained on")
    for model in found:
        loss = model.held_out_nats_per_byte
        parameters = f"{model.num_parameters / 1e6:.2f} M"
        table.add_row(model.name, parameters, "" if loss is None else f"{loss:.3f}", model.data)
    console().print(table)
    licences = ", ".join(sorted({model.licence for model in found}))
    say(f"nats/byte: loss on held-out documents. Licence: {licences}.")

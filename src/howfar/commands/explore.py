"""`howfar explore`: the explorer in a browser."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from howfar.commands.options import Device, DType, Mark, placed
from howfar.commands.output import say
from howfar.errors import ConfigError
from howfar.files import write_file

EDITED = Path("howfar-explorer.py")


def explore(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Bundled models, folders or Hub ids to choose from; by default all bundled models."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 allows other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any free one.")] = 0,
    known_as: Annotated[
        list[str] | None,
        typer.Option(metavar="<name>", help="Host name that visitors use, if behind a proxy. May be repeated."),
    ] = None,
    token: Annotated[bool, typer.Option(help="Require the printed token from visitors.")] = True,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    contexts: Annotated[
        Path | None,
        typer.Option(help="Table of `howfar measure contexts`, to rank increments in a corpus too."),
    ] = None,
    mark: Mark = None,
    device: Device = None,
    dtype: DType = None,
    edit: Annotated[bool, typer.Option("--edit", help=f"Copy the page to {EDITED} and open it to change.")] = False,
) -> None:
    """Open a page where you type a text and watch its spacing."""
    if edit and (known_as or not token):
        raise ConfigError("--edit opens the page for you alone; leave out --known-as and --no-token")
    from howfar.explorer.server import import_marimo

    import_marimo()
    if contexts is not None:
        _rank_by(contexts)
    if options := {name: value for name, value in {"mark": mark, **placed(device, dtype)}.items() if value}:
        from howfar.explorer.inference import OPTIONS_VARIABLE

        os.environ[OPTIONS_VARIABLE] = json.dumps(options, default=str)
    if edit:
        _edit(models or [], host, port, browser)
    else:
        _serve(models or [], host, port, known_as or [], token, browser)


def _rank_by(contexts: Path) -> None:
    """Let pages in this process, and in one that it starts, rank increments by a table."""
    from howfar.explorer.server import CONTEXTS_VARIABLE
    from howfar.measures.contexts.ranks import read_contexts

    read_contexts(contexts)  # refused before anything slow happens
    os.environ[CONTEXTS_VARIABLE] = str(contexts.absolute())


def _serve(models: list[str], host: str, port: int, names: list[str], with_token: bool, browser: bool) -> None:
    from howfar.explorer.inference import shared_inference
    from howfar.explorer.live import module
    from howfar.explorer.server import make_app, new_token, serve
    from howfar.text.marks import name_with_mark, unusual_mark

    listener = _listen(host, port)
    inference = shared_inference(models)
    say(f"Loading {', '.join(inference.names)} …")
    inference.load_all()
    for name in inference.names:
        if found := unusual_mark(inference.tokenizer(name)):
            say(f"Texts are read by {name_with_mark(name, found)}; --mark names another")
    module()  # made now, not while the first visitor waits
    token = new_token() if with_token else None
    address = f"http://{host}:{listener.getsockname()[1]}/" + (f"?access_token={token}" if token else "")
    say(f"The explorer is at {address} until you press Ctrl+C.")
    if browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    serve(make_app(token, names=[host, *names]), listener)


def _listen(host: str, port: int) -> socket.socket:
    """Bind the address before anything slow happens."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another --port or --host"
        ) from error
    return listener


def _edit(models: list[str], host: str, port: int, browser: bool) -> None:
    from howfar.explorer.server import NOTEBOOK, models_to_environment

    if not EDITED.exists():
        write_file(EDITED, NOTEBOOK.read_bytes())
    arguments = ["--host", host, *(["--port", str(port)] if port else []), *([] if browser else ["--headless"])]
    command = [sys.executable, "-m", "marimo", "edit", str(EDITED), "--skip-update-check", *arguments]
    raise typer.Exit(subprocess.run(command, env=models_to_environment(models)).returncode)

"""`howfar explore`: the explorer in a browser."""

from __future__ import annotations

import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from howfar.commands.options import Device, DType, Mark, placed
from howfar.commands.output import say
from howfar.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl


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
) -> None:
    """Open a page where you type a text and watch its spacing."""
    from howfar.explorer.server import check_extra

    check_extra()
    table = None
    if contexts is not None:
        from howfar.measures.contexts.ranks import read_contexts

        table = read_contexts(contexts)  # refused before anything slow happens
    options = {name: value for name, value in {"mark": mark, **placed(device, dtype)}.items() if value}
    _serve(models or [], options, host, port, known_as or [], token, browser, table)


def _serve(
    models: list[str],
    options: dict[str, Any],
    host: str,
    port: int,
    names: list[str],
    with_token: bool,
    browser: bool,
    contexts: pl.DataFrame | None,
) -> None:
    from howfar.explorer.inference import Inference
    from howfar.explorer.server import make_app, new_token, prepare, serve
    from howfar.models.bundled import named_models
    from howfar.text.marks import name_with_mark, unusual_mark

    listener = _listen(host, port)
    inference = Inference(named_models(models), **options)
    say(f"Loading {', '.join(inference.names)} …")
    inference.load_all()
    for name in inference.names:
        if found := unusual_mark(inference.tokenizer(name)):
            say(f"Texts are read by {name_with_mark(name, found)}; --mark names another")
    threading.Thread(target=prepare, daemon=True).start()
    token = new_token() if with_token else None
    app = make_app(inference, token, names=[host, *names], contexts=contexts)
    address = f"http://{_in_address(host)}:{listener.getsockname()[1]}/" + (f"?access_token={token}" if token else "")
    say(f"The explorer is at {address} until you press Ctrl+C.")
    if browser:
        threading.Timer(1.0, webbrowser.open, [address]).start()
    serve(app, listener)


def _listen(host: str, port: int) -> socket.socket:
    """Bind the address before anything slow happens."""
    if not host:  # the system would take it for all addresses
        raise ConfigError("--host is empty; give an address of this machine, or 0.0.0.0 for all of them")
    listener = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)  # localhost has both kinds
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or "it is no host name"
        raise ConfigError(
            f"cannot listen at {_in_address(host)}:{port} ({reason}); choose another --port or --host"
        ) from error
    return listener


def _in_address(host: str) -> str:
    """A host as it is written in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host

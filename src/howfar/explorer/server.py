"""Serve the page: on this machine, to visitors with the token, with nothing loaded from elsewhere."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from howfar.charts.assets import asset
from howfar.errors import MissingExtraError
from howfar.explorer.gate import OnlyHere
from howfar.explorer.parsing import compile_one_at_a_time

if TYPE_CHECKING:
    import polars as pl
    from starlette.types import ASGIApp

NOTEBOOK = Path(__file__).with_name("notebook.py")
MODELS_VARIABLE = "HOWFAR_EXPLORER_MODELS"  # tells the models to a page that marimo runs
CONTEXTS_VARIABLE = "HOWFAR_EXPLORER_CONTEXTS"  # and the table that ranks increments in a corpus


def make_app(token: str | None, *, names: Collection[str] = (), notebook: Path = NOTEBOOK) -> ASGIApp:
    """The explorer as an ASGI application, for any server.

    Args:
        token: The token that visitors need; None lets everyone in.
        names: Host names of the page, besides this machine's own.
        notebook: The marimo notebook of the page.

    Raises:
        MissingExtraError: marimo is not installed.
    """
    marimo = import_marimo()
    from howfar.explorer.inference import MAX_CHARACTERS

    compile_one_at_a_time()
    # A page's session survives its tab for a while; shorter than marimo's default, to bound memory.
    script = asset("explorer/head.js").replace("MAX_CHARACTERS", str(MAX_CHARACTERS))
    builder = marimo.create_asgi_app(token=token, quiet=True, session_ttl=30, html_head=f"<script>{script}</script>")
    app = builder.with_app(path="/", root=str(notebook)).build()
    return OnlyHere(app, names, own_file=_is_made_for_a_page, hidden=notebook.parent)


def _is_made_for_a_page(name: str) -> bool:
    """Whether marimo holds a file for a page; for any other name it would search other programs' shared memory."""
    from marimo._runtime.virtual_file.storage import VirtualFileStorageManager

    storage = VirtualFileStorageManager().storage
    return storage is not None and storage.has(name)


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve an application until it gets a signal to end; many visitors may connect, incomplete requests may not."""
    import uvicorn

    from howfar.explorer.connections import MAX_CONNECTIONS, ImpatientProtocol

    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_level="warning",
        timeout_graceful_shutdown=2,
        limit_concurrency=MAX_CONNECTIONS,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


def import_marimo() -> Any:
    """Import marimo, which the extra `app` installs.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import marimo
    except ModuleNotFoundError:
        raise MissingExtraError(
            "the explorer needs marimo, which is not installed; "
            "in the clone of howfar, run: pip install -c constraints.txt '.[app]'"
        ) from None
    return marimo


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(16)


def models_from_environment() -> list[str]:
    """The models in `MODELS_VARIABLE`, one a line."""
    return [name for name in os.environ.get(MODELS_VARIABLE, "").splitlines() if name]


def models_to_environment(models: Sequence[str]) -> dict[str, str]:
    """The environment that passes the models to another process."""
    return {**os.environ, MODELS_VARIABLE: "\n".join(models)}


def contexts_of(model: str) -> pl.DataFrame | None:
    """The table of `howfar.measures.contexts` for a model, from the file in `CONTEXTS_VARIABLE`, if any.

    Args:
        model: Its name in the explorer.
    """
    import polars as pl

    path = os.environ.get(CONTEXTS_VARIABLE)
    table = _read_contexts(path) if path else None
    if table is None:
        return None
    named = [name for name in table["model"].unique() if PurePath(name).name == model]
    own = table.filter(pl.col("model").is_in(named))
    return None if own.is_empty() else own


@cache
def _read_contexts(path: str) -> pl.DataFrame:
    from howfar.measures.contexts.ranks import read_contexts

    return read_contexts(path)

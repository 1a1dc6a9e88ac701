"""Serve the page: on this machine, for whoever has the token, with nothing fetched from elsewhere."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from howfar.errors import MissingExtraError
from howfar.explorer.parsing import compile_one_at_a_time

if TYPE_CHECKING:
    import polars as pl
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTEBOOK = Path(__file__).with_name("notebook.py")
HEAD = Path(__file__).with_name("head.js")
MODELS_VARIABLE = "HOWFAR_EXPLORER_MODELS"  # how a page that marimo runs by itself learns of its models
CONTEXTS_VARIABLE = "HOWFAR_EXPLORER_CONTEXTS"  # and of the table by which it ranks increments in a corpus

CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; base-uri 'self'; form-action 'self'; "
    "object-src 'none'"
)
"""Browsers then refuse any request to another host, whatever asks for it."""


class OnlyHere:
    """Refuse what other sites send, and tell browsers to load nothing from them.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 4403})
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            return await send({"type": "http.response.body", "body": b"requests from other sites are refused"})

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", CONTENT_POLICY.encode())
                message = {**message, "headers": [*message.get("headers", []), policy]}
            await send(message)

        return await self.app(scope, receive, with_policy)


def make_app(token: str | None, *, notebook: Path = NOTEBOOK) -> ASGIApp:
    """The explorer as an ASGI application, for any server.

    Args:
        token: What visitors must know; None lets everyone in.
        notebook: The marimo notebook that is the page.

    Raises:
        MissingExtraError: marimo is not installed.
    """
    marimo = import_marimo()
    compile_one_at_a_time()
    # A page's session lives on for a while after its tab is closed; shorter than marimo's default, to bound memory.
    head = f"<script>{HEAD.read_text(encoding='utf-8')}</script>"
    builder = marimo.create_asgi_app(token=token, quiet=True, session_ttl=30, html_head=head)
    return OnlyHere(builder.with_app(path="/", root=str(notebook)).build())


def import_marimo() -> Any:
    """marimo, which the extra `app` brings.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import marimo
    except ModuleNotFoundError:
        raise MissingExtraError(
            "the explorer needs marimo, which is not installed; install it with: pip install 'howfar[app]'"
        ) from None
    return marimo


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(16)


def models_from_environment() -> list[str]:
    """The models that `MODELS_VARIABLE` names, one a line."""
    return [name for name in os.environ.get(MODELS_VARIABLE, "").splitlines() if name]


def models_to_environment(models: Sequence[str]) -> dict[str, str]:
    """The environment that tells another process of its models."""
    return {**os.environ, MODELS_VARIABLE: "\n".join(models)}


def contexts_of(model: str) -> pl.DataFrame | None:
    """What `howfar.measures.contexts` found of a model, from the table that `CONTEXTS_VARIABLE` names, if any.

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

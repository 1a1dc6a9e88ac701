"""What visitors may reach of a marimo server: the page and its needs, under host names that the server knows."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Collection
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; base-uri 'self'; form-action 'self'; "
    "object-src 'none'; frame-ancestors 'self'"
)
"""With these, browsers refuse requests to other hosts, and refuse to show the page inside another page."""

_HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
)
ROUTES = {
    "GET": re.compile(
        r"/|/assets/[\w.-]+|/(favicon\.ico|manifest\.json|logo\.png|apple-touch-icon\.png|public-files-sw\.js)"
        r"|/android-chrome-\d+x\d+\.png|/auth/login|/health"
    ),
    "POST": re.compile(r"/auth/login|/api/kernel/(instantiate|set_ui_element_value|set_model_value|function_call)"),
    "websocket": re.compile(r"/ws"),
}
"""Everything that the page requests, by method, besides the files that it makes; the rest of marimo is blocked."""

_FILE = re.compile(r"/@file/\d+-([\w.-]+)")
MAX_BODY = 2_000_000  # bytes of a request; the longest text needs a third of it
BODY_SECONDS = 20.0


class OnlyHere:
    """Let through the page's own requests, and tell browsers to load nothing from elsewhere.

    Args:
        app: The application.
        names: Host names of the server, besides numeric addresses, `localhost` and this machine's own name. A
            request for another name comes from a site that points its own name at this machine's address.
        own_file: Whether a file of this name was made for the page.
        hidden: A folder in the page's source that visitors should not see.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Collection[str] = (),
        *,
        own_file: Callable[[str], bool] = lambda _: False,
        hidden: Path | None = None,
    ) -> None:
        self.app = app
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}
        self._own_file, self._hidden = own_file, hidden

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is None and scope["type"] == "http" and scope.get("method") == "POST":
            body = await _read(receive)
            refusal = (413, "this is more than the page sends") if body is None else None
            receive = _replay(body or b"", receive)
        if refusal is not None:
            return await _refuse(scope, send, *refusal)
        answer = _Answer(send, self._hidden if scope.get("path") == "/" else None)
        return await self.app(scope, receive, answer)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence for a request that is refused."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._knows(host):
            return 421, "this server is not known under that name; its owner can add it by --known-as"
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "requests from other sites are refused"
        method = "websocket" if scope["type"] == "websocket" else scope.get("method", "GET").replace("HEAD", "GET")
        path = scope.get("path", "/")
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("file", [])
        if any(PureWindowsPath(file).name != file for file in asked):  # the answer would say whether it is the page's
            return 404, "there is no such page"
        made = _FILE.fullmatch(path) if method == "GET" else None
        allowed = ROUTES.get(method)
        if (made and self._own_file(made[1])) or (allowed and allowed.fullmatch(path)):
            return None
        return 404, "there is no such page"

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class _Answer:
    """Sends an application's response with our headers, and without a local folder in it."""

    def __init__(self, send: Send, hidden: Path | None) -> None:
        self._send, self._start, self._body = send, None, b""
        self._hidden = [] if hidden is None else _mentions(hidden)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [name for name, _ in _HEADERS]
            kept = [header for header in message.get("headers", []) if header[0].lower() not in ours]
            message = {**message, "headers": [*kept, *_HEADERS]}
            if self._hidden:
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            for mention, instead in self._hidden:
                self._body = self._body.replace(mention, instead)
            length = (b"content-length", str(len(self._body)).encode())
            kept = [header for header in self._start["headers"] if header[0].lower() != b"content-length"]
            await self._send({**self._start, "headers": [*kept, length]})
            message = {"type": "http.response.body", "body": self._body}
        await self._send(message)


def _mentions(folder: Path) -> list[tuple[bytes, bytes]]:
    """How a page may mention a folder or its parents, alone or in a path; and the replacement of each."""
    mentions = [(f"{form}/", "") for form in _forms(folder)]
    mentions += [(f'"{form}"', '""') for above in (folder, *folder.parents) for form in _forms(above)]
    return [(mention.encode(), instead.encode()) for mention, instead in mentions if mention not in ('"/"', '"%2F"')]


def _forms(folder: Path) -> list[str]:
    """The ways to write a folder, the longest first."""
    plain = folder.as_posix()
    forms = {folder.as_uri(), plain, quote(plain), quote(plain, safe=""), plain.replace("/", "\\/")}
    return sorted(forms, key=len, reverse=True)


async def _read(receive: Receive) -> bytes | None:
    """A request's body; None if it is too long or does not arrive."""
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > MAX_BODY or message["type"] == "http.disconnect":
                    return None
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        return None


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close", "code": 4000 + status})
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    return await send({"type": "http.response.body", "body": sentence.encode()})

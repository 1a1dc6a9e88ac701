"""Serve the page: on this machine, to visitors with the token, with nothing loaded from elsewhere."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.charts.saving import FORMATS
from howfar.errors import ConfigError, HowFarError, MissingExtraError
from howfar.explorer.answers import effects, expected, read, written
from howfar.explorer.gate import OnlyHere
from howfar.explorer.inference import MAX_CHARACTERS, Inference
from howfar.explorer.pages import FILES, folder, login, page
from howfar.explorer.panels import Document, Panel, panel, spacing_of
from howfar.explorer.question import Question, question_of

if TYPE_CHECKING:
    import polars as pl
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

TYPES = {"html": "text/html", "svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf", "csv": "text/csv"}


def make_app(
    inference: Inference,
    token: str | None,
    *,
    names: Collection[str] = (),
    contexts: pl.DataFrame | None = None,
) -> ASGIApp:
    """The explorer as an ASGI application, for any server.

    Args:
        inference: The models.
        token: The token that visitors need; None lets everyone in.
        names: Host names of the page, besides this machine's own.
        contexts: A table of `howfar measure contexts`, to rank increments in a corpus too.

    Raises:
        MissingExtraError: Starlette is not installed.
    """
    check_extra()
    from starlette.applications import Starlette
    from starlette.routing import Route

    own = _Explorer(inference, token, contexts)
    routes = [Route("/", own.show_page), Route("/assets/{name}", own.show_file), Route("/folder.json", own.show_folder)]
    routes += [Route(f"/{name}", own.answering(name), methods=["POST"]) for name in own.answers]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # an address that is not the page's is answered by 404
    return OnlyHere(app, names)


@dataclass(frozen=True, eq=False)
class _Explorer:
    """What the routes answer."""

    inference: Inference
    token: str | None
    contexts: pl.DataFrame | None
    random: np.random.Generator = field(default_factory=np.random.default_rng)

    @property
    def answers(self) -> dict[str, Callable[[dict[str, Any], Question], Response]]:
        """Answers to questions, by route."""
        return {
            "read": lambda _, question: _json(read(self.inference, question)),
            "effects": lambda _, question: _json(effects(self.inference, question)),
            "expect": lambda _, question: _json(expected(self.inference, question)),
            "write": lambda _, question: _json(written(self.inference, question, self.random)),
            "panel": self.show_panel,
            "save": self.save,
        }

    @property
    def cookie(self) -> str:
        """Its name differs by token: browsers send cookies to all ports of a host."""
        return f"howfar_{hashlib.sha256((self.token or '').encode()).hexdigest()[:8]}"

    def is_known(self, request: Request) -> bool:
        """Whether a visitor has shown the token."""
        shown = request.cookies.get(self.cookie, "")
        return self.token is None or secrets.compare_digest(shown.encode(), self.token.encode())

    async def show_page(self, request: Request) -> Response:
        """The page; to visitors without the token, a form that asks for it. The address loses its token."""
        from starlette.responses import HTMLResponse, RedirectResponse

        shown = request.query_params.get("access_token")
        if self.token is not None and shown is not None and secrets.compare_digest(shown.encode(), self.token.encode()):
            answer: Response = RedirectResponse("./", 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
            return answer
        return HTMLResponse(page()) if self.is_known(request) else HTMLResponse(login(shown is not None), 401)

    async def show_file(self, request: Request) -> Response:
        """A script or style sheet, which are no secret."""
        from starlette.responses import PlainTextResponse, Response

        found = FILES.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("there is no such page", 404)
        make, kind = found
        return Response(make(), media_type=kind, headers={"cache-control": "no-cache"})

    async def show_folder(self, request: Request) -> Response:
        """What the page has: models, examples, limits."""
        from starlette.concurrency import run_in_threadpool

        if not self.is_known(request):
            return _refused("show the token first; reload the page", 401)
        return _json(await run_in_threadpool(folder, self.inference, MAX_CHARACTERS))

    def answering(self, name: str) -> Callable[[Request], Any]:
        """The route that answers one kind of question."""
        from starlette.concurrency import run_in_threadpool

        def answer(body: bytes) -> Response:
            try:
                sent = _parsed(body)
                return self.answers[name](sent, question_of(sent))
            except HowFarError as error:
                return _refused(str(error), 200)  # a browser would log another status as a fault of the page

        async def route(request: Request) -> Response:
            if not self.is_known(request):
                return _refused("show the token first; reload the page", 401)
            return await run_in_threadpool(answer, await request.body())

        return route

    def documents(self, question: Question) -> list[Document]:
        """The texts that a question is about."""
        return [Document(self.inference, question, number, self.contexts) for number in range(len(question.readings))]

    def show_panel(self, sent: dict[str, Any], question: Question) -> Response:
        """A panel of each text, or the sentence why it has none."""
        shown = []
        for document in self.documents(question):
            try:
                found = panel(document, str(sent.get("panel")))
                shown.append({"name": document.name, "said": found.said, **_drawn(found)})
            except HowFarError as error:
                shown.append({"name": document.name, "error": str(error)})
        return _json({"panels": shown})

    def save(self, sent: dict[str, Any], question: Question) -> Response:
        """A file: the picture, a chart or a table of a panel.

        Raises:
            ConfigError: There is no such file.
        """
        from starlette.responses import Response

        what, kind = str(sent.get("what")), str(sent.get("kind"))
        number = 1 if sent.get("number") == 1 and len(question.readings) > 1 else 0
        data = None
        if what == "spacing" and kind in FORMATS:
            data = spacing_of(self.inference, question).render(kind)
        else:
            found = panel(self.documents(question)[number], str(sent.get("panel")))
            if what == "numbers" and kind in found.saved:
                data = found.saved[kind]()
            elif what in found.pictures and kind in FORMATS:
                data = found.pictures[what].render(kind)
        if data is None:
            raise ConfigError(f"there is no {what[:40]!r} to save as {kind[:10]!r}; reload the page")
        return Response(data, media_type=TYPES.get(kind, "application/octet-stream"))


def _drawn(found: Panel) -> dict[str, Any]:
    """A panel's charts as SVG, and its table."""
    import vl_convert

    charts = []
    for name, picture in found.pictures.items():
        spec = picture.chart.properties(background="transparent").to_dict()
        charts.append({"name": name, "description": picture.description, "svg": vl_convert.vegalite_to_svg(spec)})
    return {"charts": charts, "table": found.table, "saved": list(found.saved)}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ConfigError("this is not a question of the page; reload the page") from error


def _json(value: dict[str, Any], status: int = 200) -> Response:
    from starlette.responses import Response

    said = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=float)
    return Response(said.encode(errors="replace"), status, media_type="application/json")


def _refused(sentence: str, status: int) -> Response:
    return _json({"error": sentence}, status)


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve an application until it gets a signal to end; many visitors may connect, incomplete requests may not."""
    import uvicorn

    from howfar.explorer.connections import MAX_CONNECTIONS, ImpatientProtocol

    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        log_level="warning",
        timeout_graceful_shutdown=2,
        limit_concurrency=MAX_CONNECTIONS,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


def prepare() -> None:
    """Start what draws charts, which takes a second: now, and not while the first visitor waits."""
    import vl_convert

    vl_convert.vegalite_to_png({"data": {"values": []}, "mark": "text"})


def check_extra() -> None:
    """Check that the extra `app` is installed.

    Raises:
        MissingExtraError: It is not.
    """
    try:
        import starlette
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the explorer needs {error.name}, which is not installed; "
            "in the clone of howfar, run: pip install -c constraints.txt '.[app]'"
        ) from None
    _ = starlette, uvicorn


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(16)

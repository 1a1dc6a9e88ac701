"""Ask the explorer for what it must not give: `python tools/campaigns/routes.py` (over 100 requests, a minute)."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

from campaign import campaign

PATHS = (
    "/etc/passwd", "/assets/../index.html", "/assets/%2e%2e/index.html", "/assets//etc/passwd", "/assets/worker.js",
    "/assets/server.py", "/assets/index.html", "/../server.py", "/openapi.json", "/docs", "/static/x", "/read/",
    "/public/../../etc/passwd", "/models", "/models/0.onnx", "/api/status", "/api/kernel/run", "/folder.json/x",
    "/save/x", "/ws", "/sse", "//", "/..", "/.", "/%00", "/assets/%00", "/assets/page.js%00", "/assets/page.js/..",
)  # fmt: skip
SAVED = ("../../etc/passwd", "/etc/passwd", "spacing/../x", "numbers", "attention")


async def ask(app: object, method: str, path: str, host: str, body: bytes = b"{}") -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "root_path": "", "raw_path": path.encode(), "query_string": b"", "headers": [(b"host", host.encode())],
        "scheme": "http", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)  # type: ignore[operator]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Ask by each method, for files that are none of the page's, and under names that the server does not know."""
    from howfar.explorer.inference import Inference
    from howfar.explorer.server import make_app
    from howfar.models.bundled import named_models

    app, chance = make_app(Inference(named_models([])), None), random.Random(seed)
    cases = [(method, path, "127.0.0.1:1", {404, 405}, b"{}") for path in PATHS for method in ("GET", "POST", "PUT")]
    cases += [("GET", "/", f"{chance.randrange(10**6)}.example:1", {421}, b"{}") for _ in range(10)]
    for what in SAVED:
        for kind in ("exe", "../html", "csv"):
            asked = {"model": "/etc", "text": "a", "what": what, "kind": kind, "panel": "../x"}
            cases.append(("POST", "/save", "127.0.0.1:1", {200}, json.dumps(asked).encode()))
    for method, path, host, expected, body in cases[:number]:
        status, answer = asyncio.run(ask(app, method, path, host, body))
        is_refused = status in expected and (status != 200 or answer.startswith(b'{"error"'))
        outcome = "refused by name" if is_refused else f"answered by {status}"
        yield ("gave away a path" if str(folder.parent).encode() in answer else outcome), f"{method} {path} of {host}"


if __name__ == "__main__":
    campaign("Ask the explorer for what it must not give.", 10_000, run)

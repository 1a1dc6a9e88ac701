"""Ask the explorer for what it must not give: `python tools/campaigns/routes.py` (over 100 requests, a minute)."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path

from campaign import campaign

PATHS = (
    "/api/kernel/run", "/api/kernel/execute", "/api/kernel/scratchpad/run", "/api/kernel/shutdown", "/api/kernel/save",
    "/api/kernel/read_code", "/api/kernel/save_user_config", "/api/kernel/code_autocomplete", "/api/files/list_files",
    "/api/files/file_details", "/api/files/download", "/api/files/create", "/api/secrets/create", "/api/secrets/keys",
    "/api/status", "/api/sessions", "/api/environment", "/api/usage", "/api/export/html", "/api/export/script",
    "/api/packages/add", "/api/packages/list", "/api/ai/chat", "/api/home/recent_files", "/api/sql/validate",
    "/terminal/ws", "/api/lsp/health", "/api/storage/download", "/auth/token", "/og/thumbnail",
    "/public/../../etc/passwd", "/sse", "/assets/../index.html", "/assets/%2e%2e/index.html", "/@file/x", "/docs",
    "/openapi.json", "//", "/..",
)  # fmt: skip


async def ask(app: object, method: str, path: str, host: str) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"{}", "more_body": False}

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
    """Ask by each method, for a stranger's shared memory, and under names that the server does not know."""
    from howfar.explorer.server import make_app

    app, chance = make_app(None), random.Random(seed)
    memory = shared_memory.SharedMemory(create=True, size=10, name=f"campaign-{os.getpid()}")
    cases = [(method, path, "127.0.0.1:1", 404) for path in PATHS for method in ("GET", "POST", "PUT")]
    cases += [("GET", f"/@file/10-{memory.name}", "127.0.0.1:1", 404)]
    cases += [("GET", "/", f"{chance.randrange(10**6)}.example:1", 421) for _ in range(10)]
    try:
        for method, path, host, expected in cases[:number]:
            status, body = asyncio.run(ask(app, method, path, host))
            outcome = "refused by name" if status == expected else f"answered by {status}"
            yield ("gave away a path" if str(folder.parent).encode() in body else outcome), f"{method} {path} of {host}"
    finally:
        memory.close()
        memory.unlink()


if __name__ == "__main__":
    campaign("Ask the explorer for what it must not give.", 10_000, run)

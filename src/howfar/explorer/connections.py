"""Close connections that send no complete request, and limit their number."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
MAX_WAITING = 64
"""Connections that have sent no complete request; a new one replaces the one that has waited longest."""
MAX_CONNECTIONS = 512


class ImpatientProtocol(AutoHTTPProtocol):
    """Uvicorn's protocol, with a limit on the wait for the end of a request."""

    _waiting: dict[Any, asyncio.TimerHandle] = {}  # noqa: RUF012 - shared by all connections on purpose

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle incoming data; keep waiting if the request is not complete."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or self.transport.get_protocol() is not self:
            self._wait_no_longer()
        elif self.cycle is None or self.cycle.response_complete:
            self._wait()

    def _wait(self) -> None:
        if self in self._waiting:
            return
        if len(self._waiting) >= MAX_WAITING:
            next(iter(self._waiting))._close()
        self._waiting[self] = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._close)

    def _wait_no_longer(self) -> None:
        if timer := self._waiting.pop(self, None):
            timer.cancel()

    def _close(self) -> None:
        self._wait_no_longer()
        self.transport.abort()

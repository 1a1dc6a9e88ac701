"""Connections on which no whole request comes are closed, and there are never many of them."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0
MAX_WAITING = 64
"""Connections that have sent no whole request; the one that has waited longest makes room for the next."""
MAX_CONNECTIONS = 512


class ImpatientProtocol(AutoHTTPProtocol):
    """Uvicorn's protocol, which by itself waits for the end of a request for ever."""

    _waiting: dict[Any, asyncio.TimerHandle] = {}  # noqa: RUF012 - shared by all connections on purpose

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; wait on where it is the beginning of a request only."""
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

"""Serve the page until a signal: uvicorn, with the drain library around the page.

Nobody needs the token to connect: connections that do nothing take no place from others.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import uvicorn
from gapless_drain import Drain
from uvicorn.protocols.http.h11_impl import H11Protocol

from gapless.base import clock
from gapless.client import Client
from gapless.web.deeds import Deeds
from gapless.web.feed import Feed
from gapless.web.gate import Gate
from gapless.web.host_look import HostLook
from gapless.web.site import Host, Site

END_S = 5
MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the page is, and by whom it may be used."""

    listener: socket.socket
    names: Collection[str]
    """Names of this host that a browser may use, beside its addresses."""
    token: str
    certificate: str = ""
    key: str = ""


class Connection(H11Protocol):
    """A connection of HTTP/1.1 that is ended when it does nothing."""

    HEAD_S = 10.0
    """From the connection, or the answer before, to the end of the head of a request."""
    UNREAD_S = 60.0
    """For what is left of the last answer."""
    STALL_S = 30.0
    """Without a byte read of an answer that waits to be sent."""

    def __init__(self, *arguments: Any, **further: Any) -> None:
        super().__init__(*arguments, **further)
        self.idle_at = 0.0
        """Since when no request is under way, if none is."""
        self._idle: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(
        self,
        transport: asyncio.Transport,  # type: ignore[override]  # as uvicorn has it
    ) -> None:
        """Begin; where places are short, the one that has done nothing longest ends."""
        super().connection_made(transport)
        self._begin_idle()
        most = self.limit_concurrency
        if most is None or len(self.connections) < most:
            return
        idle = [
            each
            for each in self.connections
            if isinstance(each, Connection) and each is not self and each.is_idle
        ]
        if idle:
            oldest = min(idle, key=lambda each: each.idle_at)
            self.connections.discard(oldest)
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        for timer in (self._idle, self._stall):
            if timer is not None:
                timer.cancel()

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._begin_idle()
        super().on_response_complete()

    def _begin_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self.idle_at = self.loop.time()
        self._idle = self.loop.call_later(self.HEAD_S, self._end_idle)

    def _end_idle(self) -> None:
        if not self.is_idle:
            return
        unread_s = self.UNREAD_S - (self.loop.time() - self.idle_at)
        if self.transport.get_write_buffer_size() and unread_s > 0:
            self._idle = self.loop.call_later(
                min(unread_s, self.HEAD_S), self._end_idle
            )
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for the browser to read; `close` would wait for that, too, and for ever."""
        super().pause_writing()
        self._stall = self.loop.call_later(self.STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()


def serve(host: Host, place: Place, client: Client) -> None:
    """Serve until SIGTERM or SIGINT; streams end then, and browsers come again."""
    done = Deeds()
    site = Site(host, Feed(HostLook(client), done), done)
    gate = Gate(
        site.routes(),
        token=place.token,
        port=place.listener.getsockname()[1],
        names=place.names,
        is_secure=bool(place.certificate),
        wall=clock.wall,
    )
    site.gate = gate
    server = uvicorn.Server(
        uvicorn.Config(
            Drain().asgi(gate),
            http=Connection,
            access_log=False,
            server_header=False,
            log_level="warning",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=END_S,
            ws="none",
            proxy_headers=False,
            ssl_certfile=place.certificate or None,
            ssl_keyfile=place.key or None,
        )
    )
    with contextlib.suppress(KeyboardInterrupt):  # its requests have ended
        server.run(sockets=[place.listener])

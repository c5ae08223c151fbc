"""Serve the page until a signal: uvicorn, with the drain library around the page."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from dataclasses import dataclass

import uvicorn
from gapless_drain import Drain

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

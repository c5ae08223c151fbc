"""Listen on an address of this host."""

from __future__ import annotations

import socket
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where to listen."""

    family: int
    kind: int
    address: tuple[Any, ...]


def find(host: str, port: str) -> Place:
    """Return the first place of a name; without a host, every address.

    Raises OSError, and ValueError or OverflowError for what is no address.
    """
    family, kind, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return Place(family, kind, address)


def listen(place: Place, backlog: int) -> socket.socket:
    """Return a socket that listens, and does not block.  Raises OSError."""
    sock = socket.socket(place.family, place.kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(place.address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock

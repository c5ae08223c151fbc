"""Listen on an address of this host."""

from __future__ import annotations

import socket


def listen(host: str, port: str, backlog: int) -> socket.socket:
    """Return a socket that listens and does not block; without a host, on every address.

    Raises OSError, and ValueError or OverflowError for what is no address.
    """
    family, kind, _, _, own = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(own)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock

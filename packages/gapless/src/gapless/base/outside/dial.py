"""Connect to a host within a time, whatever its names and addresses do."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

from gapless.base import clock


def dial(
    host: str, port: int, until: float, context: ssl.SSLContext | None
) -> socket.socket:
    """Return a connection, with TLS if there is a context.

    *until* is a time of `clock.monotonic`.  Raises TimeoutError, OSError, ValueError.
    """
    failure: OSError = TimeoutError("no address")
    addresses = _resolved(host, port, until)
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        # One that does not answer leaves time for the others.
        share_s = left_s(until) / (len(addresses) - index)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(share_s)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return _with_tls(sock, host, until, context) if context else sock
    raise failure


def left_s(until: float) -> float:
    """Return how much time is left.  Raises TimeoutError if none is."""
    left = until - clock.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _with_tls(
    sock: socket.socket, host: str, until: float, context: ssl.SSLContext
) -> ssl.SSLSocket:
    try:
        sock.settimeout(left_s(until))  # for the whole of the handshake
        return context.wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _resolved(host: str, port: int, until: float) -> list[Any]:
    """Return the addresses of a host.

    The C library knows no limit of time: a thread of its own may wait longer.
    """
    found: list[list[Any]] = []
    failures: list[OSError | ValueError] = []

    def resolve() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(left_s(until))
    if failures:
        raise failures[0]
    if not found:
        raise TimeoutError("its name was not resolved in time")
    return found[0]

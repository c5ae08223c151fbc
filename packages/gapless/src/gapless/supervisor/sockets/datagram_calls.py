"""Answer what instances do with UDP addresses.

A socket for each generation, and the group is steered as one of TCP is: so datagrams move
in one step, and those that wait in the queue of the old generation are read by it.
"""

from __future__ import annotations

import ipaddress
import socket

from gapless.supervisor.memory.apps import Found
from gapless.supervisor.sockets.addresses import RefusedError, shown
from gapless.supervisor.sockets.listeners import Listeners

MOST_SOCKETS = 16
"""A program that binds more in one generation asks from ports that it chooses itself."""
MULTICAST = "multicast:"


class DatagramCalls:
    """Gives instances their sockets for datagrams."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners

    def bind(
        self, found: Found, host: str, port: int, sock: socket.socket
    ) -> str | None:
        """Let an instance have the address that it wants to bind.

        Returns "" if *sock* is bound now, the name of the socket to inject, or None if the
        kernel is to bind it.  Raises RefusedError.
        """
        app, generation, instance = found
        address = shown(host, port, sock)
        if ipaddress.ip_address(host.partition("%")[0]).is_multicast:
            instance.bound.add(f"{MULTICAST}{address}")
            return None
        own = self._listeners.of(app.name, generation.sockets_of)
        others = [e for e in own if e.datagrams and e.address != address]
        if len(others) >= MOST_SOCKETS:
            return None
        # Before any of ours is set: who shares an address wants it so.
        shares = _shares(sock)
        try:
            held = self._listeners.bind(
                app.name, generation.sockets_of, host, port, sock
            )
        except RefusedError:
            if shares:
                return None
            raise
        instance.bound.add(address)
        return held


def _shares(sock: socket.socket) -> bool:
    options = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    return any(sock.getsockopt(socket.SOL_SOCKET, each) for each in options)
